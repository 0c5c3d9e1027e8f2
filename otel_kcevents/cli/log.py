"""`otel-kcevents log`: show the events and counters of sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from otel_kcevents.cli.arguments import Commands, Parser, add_sources
from otel_kcevents.cli.output import event_table, print_lines, table, trace_link
from otel_kcevents.cli.runs import ending_text
from otel_kcevents.cli.selection import Listing, Selection, find_run, read_newest, read_run
from otel_kcevents.cli.sources import FINDINGS, CommandError, one_source
from otel_kcevents.model.window import Window, set_window_of
from otel_kcevents.sdk.settings import trace_url
from otel_kcevents.store.query import ListedEvent
from otel_kcevents.store.source import Source

__all__ = ["add_log", "show_log"]

_LINES = 4000  # printed at once; the newest 256 events of each documented kind are fewer


def add_log(commands: Commands) -> None:
    """Add the command `log`.

    Args:
        commands: The commands.
    """
    parser = commands.add_parser("log", help="show a log, newest first")
    parser.set_defaults(command=show_log)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", dest="as_json", action="store_true", help="print the document itself, indented")
    traces_help = "show the trace of each event: its URL if OTEL_PYTHON_KCEVENTS_TRACE_URL is set, else its id"
    form.add_argument("--traces", action="store_true", help=traces_help)
    _add_selection(parser)
    parser.add_argument("--exit-code", action="store_true", help=f"exit with {FINDINGS} if a failure is listed")
    add_sources(parser)


def _add_selection(parser: Parser) -> None:
    parser.add_argument(
        "--run",
        metavar="RUN",
        help="list all events of a run and of the processes that it started: last, or an id or its beginning, as "
        "otel-kcevents runs shows it; the last line says how it ended (default: the newest 256 events of each kind, of "
        "all runs)",
    )
    parser.add_argument(
        "--kind",
        dest="kinds",
        action="append",
        default=[],
        metavar="KIND",
        help="list only this kind, or kinds with this prefix; repeatable",
    )
    parser.add_argument(
        "--window",
        dest="window_text",
        metavar="WINDOW",
        help="list only events that happened in this window, whatever their set covers: 24h, today, or two times "
        "separated by a comma",
    )
    parser.add_argument(
        "--set-window",
        dest="set_window_text",
        metavar="WINDOW",
        help="list only events whose set's own window overlaps this one, whenever they happened: 2024-09-02, or as in "
        "the column WINDOW",
    )
    errors_help = "list only events that report a failure"
    parser.add_argument("--errors", dest="only_errors", action="store_true", help=errors_help)


def show_log(
    sources: Sequence[Source],
    kinds: Sequence[str] = (),
    window_text: str | None = None,
    set_window_text: str | None = None,
    only_errors: bool = False,
    run: str | None = None,
    traces: bool = False,
    as_json: bool = False,
    exit_code: bool = False,
) -> int:
    """Print the events, newest first, then the counters and, of a run, how it ended.

    Args:
        sources: Where to read from.
        kinds: The kinds to list, or prefixes of them; all kinds if empty.
        window_text: The window that an event's own time must be in to be listed, such as `24h`; None for any time.
        set_window_text: The window that the window of an event's set must overlap, such as `2024-09-02` or
            `2024-09-02/1d`; None for any.
        only_errors: List only events that report a failure.
        run: The run to list, with its descendants: `last`, or an id or its beginning; None for all runs.
        traces: Show the trace of each event.
        as_json: Print the document itself instead, indented.
        exit_code: Return `FINDINGS` if a failure is listed.

    Returns:
        The exit code.

    Raises:
        CommandError: A source cannot be read, cannot answer, or refuses the selection; or a window or
            `OTEL_PYTHON_KCEVENTS_TRACE_URL` is invalid.
    """
    try:
        window = None if window_text is None else Window.parse(window_text)
        set_window = None if set_window_text is None else set_window_of(set_window_text)
        template = (trace_url() or "{trace_id}") if traces else None
    except ValueError as error:
        raise CommandError(str(error)) from None
    prefixes = tuple(kind for text in kinds for kind in text.split(",") if kind)
    selection = Selection(prefixes, window, set_window, only_errors, traces)
    source = one_source(sources)
    found = None if run is None else find_run(source, run)
    if found is not None and not as_json:
        has_error = _print_table(read_run(source, selection, found.ids[0]), None, only_errors, template)
        print_lines(["", ending_text(found.runs, found.ids)])
    else:
        listing = Listing.of(read_run(source, selection, found.ids[0])) if found else read_newest(source, selection)
        if as_json:
            print_lines(listing.document.to_json(indent=2).split("\n"))
        else:
            _print_table(listing.events, listing.counters, only_errors, template)
        has_error = any(listed.event.is_error for listed in listing.events)
    return FINDINGS if exit_code and has_error else 0


def _print_table(
    events: Iterable[ListedEvent], counters: Mapping[str, int] | None, only_errors: bool, template: str | None
) -> bool:
    """Print events, then counters; a long list is printed in parts, so that memory is bounded.

    Args:
        events: The events.
        counters: The counters; None to count the events.
        only_errors: Whether only failures were selected.
        template: The template of a trace's URL; None to show no traces.

    Returns:
        Whether one of the events reports a failure.
    """
    counted = Counter[str]()
    has_error = False
    remaining = iter(events)
    while part := list(islice(remaining, _LINES)):
        traces = (
            None if template is None else [trace_link(template, listed.trace_id, listed.span_id) for listed in part]
        )
        is_first, is_long = not counted, bool(counted) or len(part) == _LINES
        print_lines(event_table([listed.event for listed in part], header=is_first, stream=is_long, traces=traces))
        counted.update(listed.event.kind for listed in part)
        has_error = has_error or any(listed.event.is_error for listed in part)
    if not counted:
        print_lines(["no errors" if only_errors else "no events"])
    shown = sorted(counted.items()) if counters is None else counters.items()
    if shown:
        rows = [(kind, str(count)) for kind, count in shown]
        print_lines(["", *table([("KIND", "COUNT"), *rows], "<>", (0, 0))])
    return has_error
