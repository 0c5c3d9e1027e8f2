"""What the commands print: tables that are safe on any terminal, and messages on standard error."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import TextIO, TypeVar

from otel_kcevents.model.document import Document
from otel_kcevents.model.event import KINDS, Event
from otel_kcevents.model.timestamps import SECOND, format_time
from otel_kcevents.model.window import Window

__all__ = [
    "by_arrival",
    "event_table",
    "is_utf8",
    "newest_first",
    "plural",
    "print_error",
    "print_lines",
    "print_to",
    "printable",
    "short_window",
    "table",
    "trace_link",
]

_T = TypeVar("_T")

_STREAM_WIDTHS = (24, max(map(len, KINDS)), 8, 20, 0)  # a time, the longest kind, an hour's window
_UNITS = {"d": 86_400 * 10**9, "h": 3_600 * 10**9, "m": 60 * 10**9}


def newest_first(document: Document) -> list[Event]:
    """Return the events of all lists of a document, the newest first.

    Args:
        document: The document. A list of several kinds may be unordered, because other products group it by kind.
    """
    entries = [(etl, event) for etl, events in document.lists.items() for event in events]
    return [event for _, event in by_arrival(entries, lambda entry: (f"{entry[0]} {entry[1].kind}", entry[1].time))]


def by_arrival(entries: Sequence[_T], key: Callable[[_T], tuple[str, int]]) -> list[_T]:
    """Return entries by time, newest first; those of one group keep their order.

    An event arrived after those below it in a list of its kind, even if the clock was set back.

    Args:
        entries: The entries; each group newest first.
        key: Returns the name of the group and the time of an entry.
    """
    arrivals: dict[str, int] = {}
    keyed = []
    for entry in reversed(entries):
        group, time = key(entry)
        arrivals[group] = arrival = max(time, arrivals.get(group, time))
        keyed.append((arrival, entry))
    keyed.reverse()  # equal keys stay in the order of the entries
    return [entry for _, entry in sorted(keyed, key=itemgetter(0), reverse=True)]


def event_table(
    events: Iterable[Event], *, header: bool = True, stream: bool = False, traces: Sequence[str] | None = None
) -> list[str]:
    """Return events as lines with aligned columns.

    Args:
        events: The events, in the order to show.
        header: Whether the first line holds the names of the columns.
        stream: Whether the columns have fixed widths that fit rows printed later.
        traces: The trace of each event, or its URL, for another column; None for no such column.
    """
    rows = [("TIME", "KIND", "SIZE", "WINDOW", "DETAILS")] if header else []
    for event in events:
        size = "-" if event.size is None else str(event.size)
        type_, message, operation = event.failure or ("", "", None)
        details = " ".join(filter(None, (": ".join(filter(None, (operation, type_, message))), event.extra)))
        rows.append((_time(event.time), event.kind, size, short_window(event.window), details))
    widths = _STREAM_WIDTHS if stream else (0,) * 5
    if traces is None:
        return table(rows, "<<><<", widths)
    shown = ["TRACE", *traces] if header else traces
    extended = [(*row[:4], trace, row[4]) for row, trace in zip(rows, shown, strict=True)]
    return table(extended, "<<><<<", (*widths[:4], 32, 0))


def _time(ns: int) -> str:
    """Return a time in milliseconds, so that all have one width and a day's row fits into 80 columns."""
    return f"{format_time(ns - ns % SECOND)[:-1]}.{ns % SECOND // 10**6:03}Z"


def short_window(window: Window | None) -> str:
    """Return a window in a short and exact form like an ISO 8601 interval: `2022-06-03/1d`.

    Args:
        window: The window; None for `-`.
    """
    if window is None:
        return "-"
    start, end = (re.sub(":00Z$", "Z", (text or "..").removesuffix("T00:00:00Z")) for text in str(window).split(","))
    if window.start_ns is not None and window.end_ns is not None:
        length = window.end_ns - window.start_ns
        for name, unit in _UNITS.items():
            if length % unit == 0 and length < 1000 * unit:
                return f"{start}/{length // unit}{name}"
    return f"{start}/{end}"


def table(rows: Sequence[Sequence[str]], sides: str, widths: Sequence[int]) -> list[str]:
    """Return rows as lines with aligned columns.

    Args:
        rows: The cells of each row.
        sides: The alignment of each column, `<` or `>`.
        widths: The minimum width of each column, in characters.
    """
    columns = zip(sides, widths, zip(*rows, strict=True), strict=False)
    forms = [f"{side}{max(width, *map(len, column))}" for side, width, column in columns]
    return ["  ".join(map(format, row, forms)).rstrip() for row in rows]


def trace_link(template: str, trace_id: str | None, span_id: str | None = None) -> str:
    """Return the link to a trace, or `-` if there is none.

    Args:
        template: Contains `{trace_id}`, and perhaps `{span_id}`; other braces are part of the result.
        trace_id: The trace; None for none.
        span_id: The span in it; None for none.
    """
    if trace_id is None:
        return "-"
    return template.replace("{trace_id}", trace_id).replace("{span_id}", span_id or "")


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Return a count with its noun: `1 event`, `2 events`.

    Args:
        count: The count.
        noun: The singular.
        nouns: The plural, unless it is the singular with an s.
    """
    return f"{count} {noun if count == 1 else nouns or f'{noun}s'}"


def print_lines(lines: Iterable[str]) -> None:
    """Print lines in one write, with escapes for characters that standard output cannot encode."""
    print_to(sys.stdout, lines)


def print_to(stream: TextIO, lines: Iterable[str]) -> None:
    """Print lines to a stream in one write, with escapes for characters that it cannot encode.

    Args:
        stream: The stream.
        lines: The lines.
    """
    unicode = is_utf8(stream)
    print("".join(f"{printable(line, unicode)}\n" for line in lines), end="", file=stream, flush=True)


def is_utf8(stream: TextIO) -> bool:
    """Return whether a stream encodes what is written to it as UTF-8.

    Args:
        stream: The stream.
    """
    return (getattr(stream, "encoding", None) or "utf-8").lower() in ("utf-8", "utf8")


def print_error(message: str) -> None:
    """Print a message to standard error, as one line."""
    print(f"otel-kcevents: {printable(message)}", file=sys.stderr, flush=True)


def printable(text: str, unicode: bool = True) -> str:
    """Return *text* with JSON escapes for characters that control a terminal, break a line or cannot be displayed.

    Args:
        text: The text.
        unicode: Whether characters other than ASCII can be displayed.
    """
    if text.isprintable() and (unicode or text.isascii()):
        return text
    return "".join(
        char if char.isprintable() and (unicode or char.isascii()) else json.dumps(char)[1:-1] for char in text
    )
