"""The JSON of `GET /model/etl/coverage`, read from a program that may send anything."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from otel_kcevents.model.event import Failure
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.timestamps import parse_time
from otel_kcevents.store.reconciles import Reconciles, latest_reconciles
from otel_kcevents.store.remote_fields import (
    checked_fields,
    data_of,
    is_count,
    is_etl,
    is_text,
    is_time,
    list_of,
    or_null,
)
from otel_kcevents.store.window_results import Bounds, GroupedResult, ResultGroup, WindowResult, WindowResults

__all__ = ["read_coverage"]

_ORDERS = 8  # that two events of the same time may have


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_error(value: object) -> bool:
    return isinstance(value, dict) and all(_is_optional_text(value.get(name)) for name in Failure._fields)


_is_optional_text, _is_optional_time = or_null(is_text), or_null(is_time)

_ROW: Mapping[str, Callable[[object], bool]] = {
    "etl": is_etl,
    "operation": is_text,
    "resolution": is_text,
    "regular": _is_flag,
    "knownSince": _is_optional_time,
}
_FIRST: Mapping[str, Callable[[object], bool]] = {"start": is_time, "end": is_time}
_NEWEST: Mapping[str, Callable[[object], bool]] = {
    "start": is_time,
    "end": is_time,
    "time": is_time,
    "size": or_null(is_count),
}
_WINDOW: Mapping[str, Callable[[object], bool]] = {
    "start": is_time,
    "end": is_time,
    "state": is_text,
    "successes": is_count,
    "failures": is_count,
    "size": or_null(is_count),
    "succeeded": _is_optional_time,
    "failed": _is_optional_time,
    "error": or_null(_is_error),
    "savedAgain": _is_flag,
}
_WITHOUT: Mapping[str, Callable[[object], bool]] = {
    "etl": is_etl,
    "operation": _is_optional_text,
    "failures": is_count,
    "failed": is_time,
    "error": or_null(_is_error),
}


def read_coverage(body: bytes) -> WindowResults:
    """Return the results of the windows that a response shows.

    The states are not read, except for the order of the events, which follows from them and from `savedAgain`. The
    reader computes the states again, at its own time and with its own grace.

    Args:
        body: The body of the response.

    Raises:
        ValueError: It does not have the form of `GET /model/etl/coverage`.
    """
    data = data_of(body)
    if not isinstance(data, dict):
        raise ValueError(f"data must be an object with 'rows' and 'withoutWindow', got {short_repr(data)}")
    rows = [_read_row(row, f"data.rows[{number}]") for number, row in enumerate(list_of(data.get("rows"), "data.rows"))]
    reconciles = _reconciles(rows)
    groups: dict[ResultGroup, list[GroupedResult]] = defaultdict(list)
    newest, known_since, regular = list[WindowResult](), {}, set()
    first: dict[tuple[str, str | None, str], Bounds | None] = {}
    for row in rows:
        etl, operation = row["etl"], row["operation"]
        reconciled = _reconciled(row["windows"], reconciles[etl] if operation == "save" else {})
        for window in row["windows"]:
            for result in _results(etl, operation, window, reconciled.get(_bounds(window))):
                group, part = result.split()
                groups[group].append(part)
        for name, is_error in (("newest", False), ("newestFailure", True)):
            if (last := row[name]) is not None:
                time = parse_time(last["time"])
                newest.append(
                    WindowResult(etl, operation, is_error, *_bounds(last), 1, time * _ORDERS, time, last["size"], None)
                )
        if row["knownSince"] is not None:
            known_since[etl, operation] = parse_time(row["knownSince"])
        first[etl, operation, row["resolution"]] = row["first"] and Bounds(*_bounds(row["first"]))
        if row["regular"]:
            regular.add((etl, operation, row["resolution"]))
    without = []
    for number, item in enumerate(list_of(data.get("withoutWindow"), "data.withoutWindow")):
        etl, operation, failures, failed, error = checked_fields(
            item, _WITHOUT, f"data.withoutWindow[{number}]"
        ).values()
        time = parse_time(failed)
        without.append(WindowResult(etl, operation, True, 0, 0, failures, time * _ORDERS, time, None, _failure(error)))
    return WindowResults(groups, tuple(newest), tuple(without), known_since, frozenset(regular), first)


def _reconciles(rows: Iterable[Mapping[str, Any]]) -> defaultdict[str, Reconciles]:
    """Return the reconciles of each etl."""
    found: defaultdict[str, Reconciles] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        for window in row["windows"]:
            if row["operation"] == "reconcile" and window["successes"]:
                (start, end), time = _bounds(window), parse_time(window["succeeded"])
                found[row["etl"]][end - start][start] = start, window["successes"], time * _ORDERS, time, window["size"]
    return found


def _reconciled(windows: Iterable[Mapping[str, Any]], reconciles: Reconciles) -> dict[tuple[int, int], int]:
    """Return the order of the latest reconcile that covers each window, by its bounds."""
    starts: dict[int, list[int]] = defaultdict(list)
    for start, end in map(_bounds, windows if reconciles else ()):
        starts[end - start].append(start)
    return {
        (start, start + length): order
        for length, found in starts.items()
        for start, order in latest_reconciles(found, length, reconciles).items()
    }


def _read_row(value: object, place: str) -> dict[str, Any]:
    """Return the checked fields of a row."""
    row = checked_fields(value, _ROW, place)
    given: dict[str, Any] = value  # type: ignore[assignment]
    for name, fields in (("newest", _NEWEST), ("newestFailure", _NEWEST), ("first", _FIRST)):
        window = given.get(name)  # a server of an earlier version omits `first`
        row[name] = None if window is None else _checked_window(window, fields, f"{place}.{name}")
    row["windows"] = []
    for number, item in enumerate(list_of(given.get("windows"), f"{place}.windows")):
        window = _checked_window(item, _WINDOW, f"{place}.windows[{number}]")
        for count, time in (("successes", "succeeded"), ("failures", "failed")):
            if bool(window[count]) != (window[time] is not None):
                raise ValueError(f"{place}.windows[{number}] has {window[count]} {count}, but {time} is {window[time]}")
        row["windows"].append(window)
    return row


def _checked_window(value: object, fields: Mapping[str, Callable[[object], bool]], place: str) -> dict[str, Any]:
    window = checked_fields(value, fields, place)
    start, end = _bounds(window)
    if start >= end:
        raise ValueError(f"{place} must end after it starts, got {window['start']},{window['end']}")
    return window


def _bounds(window: Mapping[str, str]) -> tuple[int, int]:
    return parse_time(window["start"]), parse_time(window["end"])


def _failure(error: Mapping[str, Any] | None) -> Failure | None:
    return None if error is None else Failure(str(error.get("type")), str(error.get("message")), error.get("operation"))


def _results(etl: str, operation: str, window: Mapping[str, Any], reconciled: int | None) -> list[WindowResult]:
    """Return the successes and the failures of a window, in the order that follows from its state.

    Args:
        etl: The etl.
        operation: The operation.
        window: The window.
        reconciled: For a save, the order of the latest reconcile that covers the window; None if there is none.
    """
    key = etl, operation
    bounds = _bounds(window)
    found = []
    order = 0
    if window["successes"]:
        time = parse_time(window["succeeded"])
        order = time * _ORDERS
        if reconciled is not None:  # a clock that was set back does not change what came first
            order = max(order, reconciled + 1) if window["savedAgain"] else min(order, reconciled - 1)
        found.append(WindowResult(*key, False, *bounds, window["successes"], order, time, window["size"], None))
    if window["failures"]:
        time = parse_time(window["failed"])
        failed = time * _ORDERS
        if found:
            failed = max(failed, order + 1) if window["state"] == "failed" else min(failed, order - 1)
        failure = _failure(window["error"])
        found.append(WindowResult(*key, True, *bounds, window["failures"], failed, time, None, failure))
    return found
