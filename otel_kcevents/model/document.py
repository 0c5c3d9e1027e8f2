"""The JSON of `GET /model/etl/log`, written and read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, filterfalse
from typing import Any, NamedTuple, TypeVar

from otel_kcevents.model.event import DOCUMENTED, MAX_SIZE, OUTCOMES, Event, Failure, Outcome, is_name
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.timestamps import parse_time
from otel_kcevents.model.window import Window

__all__ = ["Document", "read_document"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Document:
    """A log as `GET /model/etl/log` gives it: the lists of events by etl, and the counters by kind."""

    lists: Mapping[str, tuple[Event, ...]]
    counters: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """The whole answer, envelope included, as plain dicts and lists."""
        data: dict[str, Any] = {etl: [event.to_dict() for event in events] for etl, events in self.lists.items()}
        return {"code": 200, "data": {**data, "counters": dict(self.counters)}}

    def to_json(self, indent: int | None = None) -> str:
        """The whole answer as JSON: without white space, or indented as `json.dumps` indents."""
        separators = (",", ":") if indent is None else None
        text = json.dumps(self.to_dict(), ensure_ascii=False, indent=indent, separators=separators)
        try:
            text.encode()
        except UnicodeEncodeError:  # half of a surrogate pair
            return json.dumps(self.to_dict(), indent=indent, separators=separators)
        return text


def read_document(text: str | bytes) -> Document:
    """Read a log document strictly; what is accepted is written back with the same meaning.

    The order of lists and events stays. Raises ValueError that names the place, the value found there
    and what belongs there: for broken JSON, a key too many, missing or twice, a wrong type, a kind in
    the wrong list, a field that its kind does not document, a size beyond 2**63 - 1, a counter that is
    less than the events listed.
    """
    try:
        text = text if isinstance(text, str) else text.decode()
        whole = json.loads(text, object_pairs_hook=_unique, parse_int=_integer)
    except RecursionError:
        raise ValueError("not a log document: it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"not a log document: it is not UTF-8: {error}") from None
    whole = _object(whole, "document", ("code", "data"))
    if type(whole["code"]) is not int or whole["code"] != 200:
        raise _mismatch("code", whole["code"], "200")
    data = _object(whole["data"], "data", (*DOCUMENTED, "counters"), others=True)
    for etl in filterfalse(is_name, data):
        raise ValueError(f"data: the key {short_repr(etl)} is no name of a list; use letters, digits and _")
    lists = {etl: _events(etl, value) for etl, value in data.items() if etl != "counters"}
    return Document(lists, _counters(data["counters"], lists))


def _mismatch(place: str, value: object, wanted: str) -> ValueError:
    return ValueError(f"{place}: expected {wanted}, found {short_repr(value)}")


class _DuplicateKey(NamedTuple):
    """Stands for an object in which a key stands twice, until its place is known."""

    key: str


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _DuplicateKey:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        return _DuplicateKey(next(key for key in keys if keys.count(key) > 1))
    return found


def _integer(digits: str) -> int | float:
    """A number without decimals; a float, which is refused at its place, where `int` refuses without one."""
    return int(digits) if len(digits) < 40 else float(digits)


def _object(
    value: object, place: str, required: Iterable[str], optional: Iterable[str] = (), *, others: bool = False
) -> dict[str, Any]:
    if isinstance(value, _DuplicateKey):
        raise ValueError(f"{place}: the key {short_repr(value.key)} stands twice; keep one")
    if not isinstance(value, dict):
        raise _mismatch(place, value, "an object")
    for key in required:
        if key not in value:
            raise ValueError(f"{place}: the key {key!r} is missing")
    for key in value:
        if not (others or key in required or key in optional):
            raise ValueError(f"{place}: the key {short_repr(key)} does not belong here")
    return value


def _list(value: object, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise _mismatch(place, value, "a list")
    return value


def _text(value: object, place: str) -> str:
    if not isinstance(value, str):
        raise _mismatch(place, value, "a text")
    return value


def _integer_in_range(value: object, place: str, least: int) -> int:
    if type(value) is not int or not least <= value <= MAX_SIZE:
        raise _mismatch(place, value, f"a whole number from {least} to {MAX_SIZE}")
    return value


def _at(place: str, read: Callable[[Any], _T], value: object) -> _T:
    try:
        return read(value)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def _split_kind(name: str, place: str) -> tuple[str, Outcome]:
    """A kind's set and outcome, such as `AssetSet` and `Saved`; older logs write `Event` behind."""
    kind = name.removesuffix("Event")
    for outcome in OUTCOMES.values():
        set_name = kind.removesuffix(outcome.suffix)
        if set_name != kind and is_name(set_name):
            return set_name, outcome
    raise _mismatch(place, name, f"a kind, which ends in one of {', '.join(o.suffix for o in OUTCOMES.values())}")


def _events(etl: str, value: object) -> tuple[Event, ...]:
    place = f"data.{etl}"
    events = []
    set_name = DOCUMENTED.get(etl)
    for index, item in enumerate(_list(value, place)):
        event, set_name = _event(item, f"{place}[{index}]", set_name)
        events.append(event)
    return tuple(events)


def _event(value: object, place: str, expected: str | None) -> tuple[Event, str]:
    item = _object(value, place, ("kind", "metadata", "time"))
    name = _text(item["kind"], f"{place}.kind")
    set_name, outcome = _split_kind(name, f"{place}.kind")
    if set_name != (expected or set_name) or (expected is None and set_name in DOCUMENTED.values()):
        raise _mismatch(f"{place}.kind", name, f"a kind of {expected}" if expected else "a kind of this list's own set")
    time = _at(f"{place}.time", parse_time, _text(item["time"], f"{place}.time"))
    kind = set_name + outcome.suffix
    return Event(kind, time, *_metadata(item["metadata"], f"{place}.metadata", outcome)), set_name


def _metadata(value: object, place: str, outcome: Outcome) -> tuple[int | None, Window | None, Failure | None]:
    sized = ("size",) if outcome.sized else ()
    failed = ("error", "operation") if outcome.error else ()
    found = _object(value, place, (), (*sized, "window", *failed))
    if "operation" in found:
        _object(value, place, ("error",), others=True)
    size = _integer_in_range(found["size"], f"{place}.size", 0) if "size" in found else None
    window = _window(found["window"], f"{place}.window") if "window" in found else None
    return size, window, _failure(found, place) if "error" in found else None


def _window(value: object, place: str) -> Window:
    ends = []
    for key, end in _object(value, place, ("start", "end")).items():
        at = f"{place}.{key}"
        ends.append((key, None if end is None else _at(at, parse_time, _text(end, at))))
    by_key = dict(ends)
    return _at(place, lambda _: Window.from_ns(by_key["start"], by_key["end"]), value)


def _failure(found: dict[str, Any], place: str) -> Failure:
    error = _object(found["error"], f"{place}.error", ("type", "message"))
    texts = [_text(error[key], f"{place}.error.{key}") for key in ("type", "message")]
    operation = _text(found["operation"], f"{place}.operation") if "operation" in found else None
    return Failure(texts[0], texts[1], operation)


def _counters(value: object, lists: Mapping[str, tuple[Event, ...]]) -> dict[str, int]:
    counters: dict[str, int] = {}
    for name, count in _object(value, "data.counters", (), others=True).items():
        set_name, outcome = _split_kind(name, "data.counters")
        kind = set_name + outcome.suffix
        if kind in counters:
            raise ValueError(f"data.counters: {kind} stands twice, with and without Event behind it; keep one")
        counters[kind] = _integer_in_range(count, f"data.counters.{name}", 1)
    listed = [event.kind for event in chain.from_iterable(lists.values())]
    for name in dict.fromkeys(listed):
        if counters.get(name, 0) < listed.count(name):
            raise _mismatch(f"data.counters.{name}", counters.get(name), f"at least the {listed.count(name)} listed")
    return counters
