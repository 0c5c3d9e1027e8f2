"""Settings of gunicorn: after each event, the worker hangs, and looks as if it had hung for a long time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any


def post_worker_init(worker: Any) -> None:
    answer: Callable[..., Any] = worker.wsgi

    def hang(*arguments: Any) -> None:
        answer(*arguments)
        os.utime(worker.tmp.fileno(), (-100, -100))  # gunicorn compares this with the time since the machine started
        time.sleep(60)

    worker.wsgi = hang


def worker_abort(worker: Any) -> None:
    """Gunicorn would kill the worker a second later, whether or not it has exported."""
    worker.tmp.notify()
