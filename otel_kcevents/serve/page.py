"""The page for people: its files, the headers that they are served with, and what it shows about its server."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from otel_kcevents.model.messages import short_repr
from otel_kcevents.store.log import EventLog
from otel_kcevents.store.run import complete_run, current_run
from otel_kcevents.version import __version__

__all__ = ["FACTS_PATH", "PAGE_FILES", "PAGE_HEADERS", "check_trace_url", "page_facts", "read_page_file"]

FACTS_PATH = "/model/etl/page"
"""The path of the facts about the server that the page shows."""

PAGE_FILES = {
    "/": ("index.html", "text/html"),
    "/static/page.css": ("page.css", "text/css"),
    **{
        f"/static/{name}.js": (f"{name}.js", "text/javascript")
        for name in (
            *("cells", "dom", "drawer", "events", "grid", "page"),
            *("panels", "source", "state", "times", "verdict", "words"),
        )
    },
}
"""By path: the name of the file, and its media type."""

PAGE_HEADERS = (
    (
        "Content-Security-Policy",
        # The last two prevent strings from becoming HTML or scripts, even if the page's own script has a mistake.
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'",
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


def check_trace_url(template: str | None) -> str | None:
    """Return the template of a trace's URL, if the page may link to such a URL.

    Args:
        template: The template, or None.

    Raises:
        TypeError: It is not a string.
        ValueError: It is not the URL of a web page, or has no `{trace_id}`.
    """
    expected = "expected a URL such as 'http://localhost:16686/trace/{trace_id}'"
    if template is None:
        return None
    if not isinstance(template, str):
        raise TypeError(f"trace_url must be a string or None, got {short_repr(template)}; {expected}")
    try:
        parts = urlsplit(template)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_web = False
    if not is_web or "{trace_id}" not in template:
        raise ValueError(
            f"trace_url must be an http or https URL with {{trace_id}}, got {short_repr(template)}; {expected}"
        )
    return template


def page_facts(source: object, trace_url: str | None, has_report: bool) -> dict[str, Any]:
    """Return the facts about its server that the page shows, in the form of `GET /model/etl/page`.

    Args:
        source: The source that is served.
        trace_url: The template of a trace's URL; None for no links.
        has_report: Whether the client may read the bug report.
    """
    complete_run()
    run = current_run()
    name = f"{run.program}, process {run.pid}, in memory" if isinstance(source, EventLog) else str(source)
    return {
        "source": name,
        "version": __version__,
        "traceUrl": check_trace_url(trace_url),
        "report": has_report,
    }
