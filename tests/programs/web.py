"""Applications for uvicorn and gunicorn. Each request is an event; with TEST_EVENT_AT_IMPORT, the import is one too.

With TEST_ATTACH, only the journal that it names is attached.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import otel_kcevents
from otel_kcevents import allocation

if path := os.environ.get("TEST_ATTACH"):
    otel_kcevents.default_log.attach(otel_kcevents.Journal(path))
else:
    otel_kcevents.configure(service_name="web")

if os.environ.get("TEST_EVENT_AT_IMPORT"):
    allocation.emit("saved", size=1)


@allocation.load
def load(window: str) -> list[int]:
    return [1]


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    load("2024-09-18T00:00:00Z,2024-09-19T00:00:00Z")
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def answer(request: Request) -> Response:
    load("2024-09-18T00:00:00Z,2024-09-19T00:00:00Z")
    return Response("ok")


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    yield
    otel_kcevents.flush(5)


asgi = Starlette(routes=[Route("/", answer)])
asgi_with_lifespan = Starlette(routes=[Route("/", answer)], lifespan=lifespan)
