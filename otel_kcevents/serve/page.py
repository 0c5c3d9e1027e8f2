"""The files of the page at `/`, and the headers that they are served with."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

__all__ = ["PAGE_FILES", "PAGE_HEADERS", "read_page_file"]

PAGE_FILES = {
    "/": ("index.html", "text/html"),
    "/static/page.css": ("page.css", "text/css"),
    "/static/page.js": ("page.js", "text/javascript"),
}
"""By path: the name of the file, and its media type."""

PAGE_HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("Referrer-Policy", "no-referrer"),
)
"""The headers of each of them."""


@cache
def read_page_file(name: str) -> str:
    """Return a file of the page.

    Args:
        name: One of the names in `PAGE_FILES`.
    """
    return (files("otel_kcevents.serve") / "static" / name).read_text(encoding="utf-8")
