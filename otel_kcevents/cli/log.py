"""`otel-kcevents log`: show the events and counters of a source."""

from __future__ import annotations

from collections.abc import Sequence

from otel_kcevents.cli.output import event_table, newest_first, print_lines, table
from otel_kcevents.cli.sources import CommandError, read_source
from otel_kcevents.model.window import Window
from otel_kcevents.store.source import Source

__all__ = ["show_log"]


def show_log(source: Source, kinds: Sequence[str], window_text: str | None, as_json: bool) -> None:
    """Print the events, newest first, then the counters.

    Args:
        source: Where to read from.
        kinds: The kinds to list, or prefixes of them; all kinds if empty.
        window_text: The window that an event's own time must be in to be listed, such as `24h`; None for any time.
        as_json: Print the document itself instead, indented.

    Raises:
        CommandError: The source cannot be read, or *kinds* or *window_text* is invalid.
    """
    try:
        window = None if window_text is None else Window.parse(window_text)
    except ValueError as error:
        raise CommandError(str(error)) from None
    document = read_source(source, kinds, window)
    if as_json:
        return print_lines(document.to_json(indent=2).split("\n"))
    events = newest_first(document)
    lines = event_table(events) if events else ["no events"]
    if document.counters:
        counters = [(kind, str(count)) for kind, count in document.counters.items()]
        lines += ["", *table([("KIND", "COUNT"), *counters], "<>", (0, 0))]
    print_lines(lines)
