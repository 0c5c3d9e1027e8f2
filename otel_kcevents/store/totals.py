"""`KindTotals`: the totals of one kind of event, from which metrics are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["KindTotals"]


class KindTotals(NamedTuple):
    """The totals of all events of one kind.

    Attributes:
        etl: The name of the kind's list, such as `allocation`.
        kind: The kind, such as `AllocationSetSaved`.
        events: How many events there were.
        records: The sum of their sizes.
        last_event: The time of the latest one, in nanoseconds since 1970 (UTC).
        window_ends: By resolution (`hourly`, `daily`, `other`), the latest end of a window, in nanoseconds since 1970.
    """

    etl: str
    kind: str
    events: int
    records: int
    last_event: int
    window_ends: Mapping[str, int]
