"""`otel-kcevents tail`: show the new events of sources as they arrive."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import itemgetter
from time import sleep

from otel_kcevents.cli.arguments import Commands, add_sources, number_type
from otel_kcevents.cli.follow_documents import DocumentFollower
from otel_kcevents.cli.follow_pages import PageFollower
from otel_kcevents.cli.output import event_table, print_error, print_lines
from otel_kcevents.cli.sources import CommandError, different_sources, is_missing
from otel_kcevents.model.event import Event
from otel_kcevents.store.query import NotAvailableError
from otel_kcevents.store.remote import RemoteLog
from otel_kcevents.store.source import Source

__all__ = ["add_tail", "follow"]

_LINES = 1000  # printed at once


def add_tail(commands: Commands) -> None:
    """Add the command `tail`.

    Args:
        commands: The commands.
    """
    parser = commands.add_parser("tail", help="show the last events, then new ones as they arrive, until Ctrl-C")
    parser.set_defaults(command=follow)
    past_help = "number of past events to show from each journal or process (default: 10)"
    parser.add_argument("-n", dest="count", type=number_type(0, 10**9, int), default=10, metavar="N", help=past_help)
    interval_help = "time between two reads (default: 1)"
    seconds = number_type(0.01, 86_400, float)
    parser.add_argument("--interval", type=seconds, default=1, metavar="SECONDS", help=interval_help)
    add_sources(parser, waits=True, saved=False)


def follow(sources: Sequence[Source], count: int, interval: float) -> None:
    """Print the last events, then new ones as they arrive, until interrupted.

    Each event is printed once. If a source becomes unreadable, an error is printed once, and reading is retried until
    it succeeds. A journal may not exist yet.

    Args:
        sources: Where to read from.
        count: How many past events of each journal or process to print.
        interval: Seconds between reads.

    Raises:
        CommandError: A source cannot be read the first time, and is not a journal that does not exist yet.
    """
    followed = [_Followed(source, count) for source in different_sources(sources)]
    past = [one.begin() for one in followed]
    print_lines(event_table([], stream=True))
    _print(past)
    while True:
        sleep(interval)
        _print([one.read() for one in followed])


class _Followed:
    """A source that is followed, and whether it could be read the last time.

    Args:
        source: Where to read from.
        count: How many past events to return.
    """

    def __init__(self, source: Source, count: int) -> None:
        self._source = source
        self._count = count
        self._events: PageFollower | DocumentFollower = PageFollower(source, count)
        self._is_readable = True

    def begin(self) -> list[Event]:
        """Return the past events.

        Raises:
            CommandError: The source cannot be read, and is not a journal that does not exist yet.
        """
        try:
            return list(self._events.read())
        except (OSError, ValueError) as error:
            if is_missing(self._source):
                print_error(f"{self._source} does not exist yet; waiting for a program that writes it")
                self._is_readable = False
                return []
            if not isinstance(error, NotAvailableError) and not isinstance(self._source, RemoteLog):
                raise CommandError(str(error)) from error
        try:  # a program with another server may answer anything to a request for events
            return list(self._use_documents())
        except (OSError, ValueError) as error:
            raise CommandError(str(error)) from error

    def _use_documents(self) -> Iterable[Event]:
        self._events = DocumentFollower(self._source, self._count)
        return self._events.read()

    def read(self) -> Iterator[Event]:
        """Yield the new events, oldest first; of several errors in a row, only the first is printed."""
        try:
            for event in self._new_events():
                self._recover()
                yield event
            self._recover()
        except (OSError, ValueError) as error:
            if self._is_readable:
                self._report(error)

    def _new_events(self) -> Iterator[Event]:
        try:
            yield from self._events.read()
        except NotAvailableError:  # the program was started again without a journal
            yield from self._use_documents()

    def _report(self, error: Exception) -> None:
        print_error(f"{error}; still trying")
        self._is_readable = False

    def _recover(self) -> None:
        if not self._is_readable:
            print_error(f"{self._source} can be read again")
            self._is_readable = True


def _print(new: Iterable[Iterable[Event]]) -> None:
    """Print the new events of all sources, merged by time; those of each source keep their order."""
    merged = heapq.merge(*map(_keyed, new), key=itemgetter(0))
    while events := [event for _, event in islice(merged, _LINES)]:
        print_lines(event_table(events, header=False, stream=True))


def _keyed(events: Iterable[Event]) -> Iterator[tuple[int, Event]]:
    arrival = 0
    for event in events:
        arrival = max(arrival, event.time)
        yield arrival, event
