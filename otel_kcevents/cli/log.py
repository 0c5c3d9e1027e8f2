"""`otel-kcevents log`: show the events and counters of sources."""

from __future__ import annotations

from collections.abc import Sequence

from otel_kcevents.cli.arguments import Commands, add_sources
from otel_kcevents.cli.output import event_table, newest_first, print_lines, table
from otel_kcevents.cli.sources import FINDINGS, CommandError, one_source, read_source
from otel_kcevents.model.document import Document
from otel_kcevents.model.window import Window
from otel_kcevents.store.source import Source

__all__ = ["add_log", "show_log"]


def add_log(commands: Commands) -> None:
    """Add the command `log`.

    Args:
        commands: The commands.
    """
    parser = commands.add_parser("log", help="show a log, newest first")
    parser.set_defaults(command=show_log)
    parser.add_argument("--json", dest="as_json", action="store_true", help="print the document itself, indented")
    parser.add_argument(
        "--kind",
        dest="kinds",
        action="append",
        default=[],
        metavar="KIND",
        help="list only this kind, or kinds with this prefix; repeatable",
    )
    window_help = "list only events in this window: 24h, today, or two times separated by a comma"
    parser.add_argument("--window", dest="window_text", metavar="WINDOW", help=window_help)
    errors_help = "list only events that report a failure"
    parser.add_argument("--errors", dest="only_errors", action="store_true", help=errors_help)
    parser.add_argument("--exit-code", action="store_true", help=f"exit with {FINDINGS} if a failure is listed")
    add_sources(parser)


def show_log(
    sources: Sequence[Source],
    kinds: Sequence[str],
    window_text: str | None,
    only_errors: bool,
    as_json: bool,
    exit_code: bool,
) -> int:
    """Print the events, newest first, then the counters.

    Args:
        sources: Where to read from.
        kinds: The kinds to list, or prefixes of them; all kinds if empty.
        window_text: The window that an event's own time must be in to be listed, such as `24h`; None for any time.
        only_errors: List only events that report a failure.
        as_json: Print the document itself instead, indented.
        exit_code: Return `FINDINGS` if a failure is listed.

    Returns:
        The exit code.

    Raises:
        CommandError: A source cannot be read, or *kinds* or *window_text* is invalid.
    """
    try:
        window = None if window_text is None else Window.parse(window_text)
    except ValueError as error:
        raise CommandError(str(error)) from None
    selected = [kind for text in kinds for kind in text.split(",") if kind]
    document = read_source(one_source(sources), selected, window)
    if only_errors:
        lists = {etl: tuple(event for event in events if event.is_error) for etl, events in document.lists.items()}
        document = Document(lists, document.counters)
    print_lines(document.to_json(indent=2).split("\n") if as_json else _lines(document, only_errors))
    has_error = any(event.is_error for events in document.lists.values() for event in events)
    return FINDINGS if exit_code and has_error else 0


def _lines(document: Document, only_errors: bool) -> list[str]:
    events = newest_first(document)
    lines = event_table(events) if events else ["no errors" if only_errors else "no events"]
    if document.counters:
        counters = [(kind, str(count)) for kind, count in document.counters.items()]
        lines += ["", *table([("KIND", "COUNT"), *counters], "<>", (0, 0))]
    return lines
