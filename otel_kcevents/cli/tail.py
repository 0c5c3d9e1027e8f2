"""`otel-kcevents tail`: show the new events of a source as they arrive."""

from __future__ import annotations

from collections import Counter
from time import sleep

from otel_kcevents.cli.output import event_table, newest_first, plural, print_error, print_lines
from otel_kcevents.cli.sources import CommandError, read_source
from otel_kcevents.model.document import Document
from otel_kcevents.model.event import Event
from otel_kcevents.store.source import Source

__all__ = ["follow"]


def follow(source: Source, count: int, interval: float) -> None:
    """Print the last events, then new ones as they arrive, until interrupted.

    If the source becomes unreadable, an error is printed once, and reading is retried until it succeeds.

    Args:
        source: Where to read from.
        count: How many past events to print first.
        interval: Seconds between reads.

    Raises:
        CommandError: The source cannot be read the first time.
    """
    before, reachable = read_source(source), True
    past = newest_first(before)[:count][::-1]
    print_lines(event_table(past, stream=True))
    while True:
        sleep(interval)
        try:
            after = read_source(source)
        except CommandError as error:
            if reachable:
                print_error(f"{error}; still trying")
            reachable = False
            continue
        if not reachable:
            print_error(f"{source} answers again")
            reachable = True
        new, missed = _difference(before, after)
        if min(missed.values(), default=0) < 0:  # fewer events were counted than are new
            print_error(f"the program at {source} restarted: its counters started again from zero")
            new, missed = _difference(Document({}, {}), after)
        for kind, number in (+missed).items():
            events = plural(number, f"{kind} event")
            print_error(f"missed {events}, which the log no longer holds; a shorter --interval misses fewer")
        print_lines(event_table(new, header=False, stream=True))
        before = after


def _difference(before: Document, after: Document) -> tuple[list[Event], Counter[str]]:
    """Return the new events, oldest first, and how many more were counted than are listed, by kind."""
    new = list((Counter(newest_first(after)[::-1]) - Counter(newest_first(before))).elements())
    missed = Counter(after.counters)
    missed.subtract(before.counters)
    missed.subtract(event.kind for event in new)
    return new, missed
