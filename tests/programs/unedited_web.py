"""Applications for gunicorn and uvicorn that call a function of `unedited_steps` for each request."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from unedited_steps import DAY, load  # type: ignore[import-not-found]  # the folder is no package


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    load(DAY, 1)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def answer(request: Request) -> Response:
    load(DAY, 1)
    return Response("ok")


asgi = Starlette(routes=[Route("/", answer)])
