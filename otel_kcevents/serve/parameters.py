"""Reads the parameters of a request's query: what a source is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import parse_qs

from otel_kcevents.model.intervals import parse_duration
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.timestamps import to_ns
from otel_kcevents.model.window import Window, set_window_of
from otel_kcevents.store.coverage import CoverageQuery
from otel_kcevents.store.query import EventQuery

__all__ = ["Parameters"]

_MAX_PARAMETERS = 100
_MAX_EVENTS = 1_000  # of a page
_MAX_RUNS = 1_000
_ERROR = {"true": True, "false": False}


class Parameters:
    """The parameters of a query.

    Args:
        query: The query, still encoded.
        now: The time that relative forms of windows are relative to; None for the current time.

    Raises:
        ValueError: There are too many parameters.
    """

    def __init__(self, query: str, now: datetime | None = None) -> None:
        self._values: Mapping[str, list[str]] = parse_qs(query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
        self._now = now

    def kinds(self) -> list[str]:
        """Return the kinds to list, or prefixes of them."""
        return self._list("kind")

    def window(self) -> Window | None:
        """Return the window of the times of events; None if it is not given.

        Raises:
            ValueError: It is not in a form of the Events API, or is given several times.
        """
        text = self._only("window")
        return None if text is None else Window.parse(text, self._now)

    def events(self) -> EventQuery:
        """Return the query for a page of events.

        Raises:
            ValueError: A parameter is invalid.
        """
        error = self._only("error")
        if error and error not in _ERROR:
            raise ValueError(f"error must be 'true' or 'false', got {short_repr(error)}")
        return EventQuery(
            tuple(self.kinds()),
            self.window(),
            self._set_window("setWindow"),
            tuple(self._list("run")),
            _ERROR[error] if error else None,
            self._limit(_MAX_EVENTS) or EventQuery().limit,
            self._only("before") or None,
        )

    def runs(self) -> int | None:
        """Return how many root runs to list; None for all.

        Raises:
            ValueError: It is not an integer from 1 to 1,000.
        """
        return self._limit(_MAX_RUNS)

    def coverage(self, as_of: int | None = None) -> CoverageQuery:
        """Return the query for a coverage.

        Args:
            as_of: When the source was saved, in nanoseconds since 1970, if it is a snapshot: relative forms of windows
                are relative to this time, unless the parameters have a time of their own.

        Raises:
            ValueError: A parameter is invalid.
        """
        now = None if self._now is None else to_ns(self._now)
        window = self._set_window("window", as_of)
        text = self._only("grace")
        grace = parse_duration(text) if text else None
        if text and (grace is None or grace.months):
            raise ValueError(f"grace must be a duration such as 90m, 2h or 1d, got {short_repr(text)}")
        return CoverageQuery(window, self._only("resolution") or None, grace and grace.ns, now)

    def _set_window(self, name: str, as_of: int | None = None) -> Window | None:
        """Return a window of sets, in any form that the commands accept; None if it is not given."""
        text = self._only(name)
        return None if text is None else set_window_of(text, as_of if self._now is None else self._now)

    def _list(self, name: str) -> list[str]:
        """Return the values of a parameter that may be repeated or separated by commas, each once."""
        texts = self._values.get(name, [])
        # A source compares each kind with every kind that it knows, so duplicates are removed first.
        return list(dict.fromkeys(part for text in texts for part in text.split(",") if part))

    def _only(self, name: str) -> str | None:
        """Return the value of a parameter that may be given once; None if it is not given."""
        values = self._values.get(name, [])
        if len(values) > 1:
            raise ValueError(f"the query has {len(values)} values of {name!r}; give one")
        return values[0] if values else None

    def _limit(self, most: int) -> int | None:
        text = self._only("limit")
        if not text:
            return None
        if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= most):
            raise ValueError(f"limit must be an integer from 1 to {most:,}, got {short_repr(text)}")
        return int(text)
