"""`otel-kcevents log`: show the events and counters of a source."""

from __future__ import annotations

from collections.abc import Sequence

from otel_kcevents.cli.output import event_table, newest_first, print_lines, table
from otel_kcevents.cli.sources import CommandError, read_source
from otel_kcevents.model.document import Document
from otel_kcevents.model.window import Window
from otel_kcevents.store.source import Source

__all__ = ["show_log"]


def show_log(
    source: Source, kinds: Sequence[str], window_text: str | None, only_errors: bool, as_json: bool
) -> Document:
    """Print the events, newest first, then the counters.

    Args:
        source: Where to read from.
        kinds: The kinds to list, or prefixes of them; all kinds if empty.
        window_text: The window that an event's own time must be in to be listed, such as `24h`; None for any time.
        only_errors: List only events that report a failure.
        as_json: Print the document itself instead, indented.

    Returns:
        The document that was printed.

    Raises:
        CommandError: The source cannot be read, or *kinds* or *window_text* is invalid.
    """
    try:
        window = None if window_text is None else Window.parse(window_text)
    except ValueError as error:
        raise CommandError(str(error)) from None
    document = read_source(source, [kind for text in kinds for kind in text.split(",") if kind], window)
    if only_errors:
        lists = {etl: tuple(event for event in events if event.is_error) for etl, events in document.lists.items()}
        document = Document(lists, document.counters)
    print_lines(document.to_json(indent=2).split("\n") if as_json else _lines(document, only_errors))
    return document


def _lines(document: Document, only_errors: bool) -> list[str]:
    events = newest_first(document)
    lines = event_table(events) if events else ["no errors" if only_errors else "no events"]
    if document.counters:
        counters = [(kind, str(count)) for kind, count in document.counters.items()]
        lines += ["", *table([("KIND", "COUNT"), *counters], "<>", (0, 0))]
    return lines
