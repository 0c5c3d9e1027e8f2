"""What a notebook shows of a log: a short table of the newest events, and the counters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Protocol

from otel_kcevents.model.event import Event
from otel_kcevents.model.timestamps import format_time

__all__ = ["MAX_EVENTS", "log_html", "safe_html", "table_html"]

MAX_EVENTS = 20
"""The maximum number of events that are shown."""

_MAX_COUNTERS = 50
_MAX_DETAILS = 200  # characters
_CELL = "text-align:left;vertical-align:top;padding:.1em .8em .1em 0"


class _Document(Protocol):
    @property
    def lists(self) -> Mapping[str, Sequence[Event]]: ...

    @property
    def counters(self) -> Mapping[str, int]: ...


def log_html(title: str, read: Callable[[], _Document]) -> str:
    """Return the newest events and the counters of a document as HTML. Never raises: an error is shown instead.

    Args:
        title: What the events are of, such as the path of a journal.
        read: Returns the document.
    """
    return safe_html(title, lambda: _document_html(read()))


def safe_html(title: str, build: Callable[[], str]) -> str:
    """Return a title and the HTML that a function returns, or the message of its exception.

    Args:
        title: The title, as plain text.
        build: Returns the HTML.
    """
    try:
        body = build()
    except Exception as error:  # a notebook would show nothing but a stack trace
        body = f"<p>cannot be read: {escape(f'{type(error).__qualname__}: {error}')}</p>"
    return f'<div style="overflow-x:auto"><p><strong>{escape(title)}</strong></p>{body}</div>'


def _document_html(document: _Document) -> str:
    events = [event for listed in document.lists.values() for event in listed]
    events.sort(key=lambda event: event.time, reverse=True)
    if not events and not document.counters:
        return "<p>no events</p>"
    rows = [_cells(event) for event in events[:MAX_EVENTS]]
    counters = [(kind, f"{count:,}") for kind, count in document.counters.items()]
    shown = table_html(("time", "kind", "size", "window", "details"), rows)
    total = sum(document.counters.values())
    note = f"<p>the newest {len(rows)} of {total:,} events</p>" if total > len(rows) else ""
    return f"{shown}{note}{table_html(('kind', 'count'), counters[:_MAX_COUNTERS])}"


def _cells(event: Event) -> tuple[str, ...]:
    window = "" if event.window is None else str(event.window).replace(",", " / ")
    failure = ": ".join(filter(None, event.failure[:2])) if event.failure else ""
    details = failure if len(failure) <= _MAX_DETAILS else f"{failure[:_MAX_DETAILS]}…"
    return format_time(event.time), event.kind, "" if event.size is None else f"{event.size:,}", window, details


def table_html(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table with the colours of the page that it is on, light or dark.

    Args:
        heads: The heads of the columns, as plain text.
        rows: The cells, as plain text.
    """
    first = "".join(f'<th scope="col" style="{_CELL}">{escape(head)}</th>' for head in heads)
    lines = ["".join(f'<td style="{_CELL}">{escape(cell)}</td>' for cell in cells) for cells in rows]
    others = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{first}</tr></thead><tbody>{others}</tbody></table>"
