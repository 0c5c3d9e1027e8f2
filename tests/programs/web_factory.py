"""A factory for an ASGI application, whose module calls `configure()` when uvicorn calls the factory."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def make() -> Any:
    return import_module("web").asgi_with_lifespan
