"""Settings of gunicorn: each request makes its worker look as if it had hung for longer than any timeout."""

from __future__ import annotations

import os
from typing import Any


def pre_request(worker: Any, request: Any) -> None:
    os.utime(worker.tmp.fileno(), (-100, -100))  # gunicorn compares this with the time since the machine started


def worker_abort(worker: Any) -> None:
    """Gunicorn would kill the worker a second later, whether or not it has exported."""
    worker.tmp.notify()
