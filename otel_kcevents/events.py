"""The event kinds as one table, `Event`, and the log's JSON form, written and strictly read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, filterfalse
from json.encoder import encode_basestring, encode_basestring_ascii
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias, TypeVar

from otel_kcevents.window import Window, format_time, parse_time, shown

__all__ = ["KINDS", "OPERATIONS", "OUTCOMES", "Document", "Event", "Failure", "Kind", "kinds_of", "read_document"]

MOST_MESSAGE = 4096  # characters of an error's text; a log's memory is bounded, an exception's text is not
MOST_SIZE = 2**63 - 1  # what an OTLP integer holds

_T = TypeVar("_T")


class Outcome(NamedTuple):
    """How an operation can end: its name, what ends the kind's name, and what the event tells."""

    name: str
    suffix: str
    sized: bool = False
    error: bool = False


OUTCOMES: Mapping[str, Outcome] = MappingProxyType(
    {
        outcome.name: outcome
        for outcome in (
            Outcome("saved", "Saved", sized=True),
            Outcome("loaded", "Loaded", sized=True),
            Outcome("aggregated", "Aggregated", sized=True),
            Outcome("totaled", "Totaled"),
            Outcome("reconciled", "Reconciled"),
            Outcome("compute_error", "ComputeError", error=True),
            Outcome("reconcile_error", "ReconcileError", error=True),
        )
    }
)
"""The outcomes by name, in the order of the document's table."""

OPERATIONS: Mapping[str, tuple[str | None, str]] = MappingProxyType(
    {
        "save": ("saved", "compute_error"),
        "load": ("loaded", "compute_error"),
        "aggregate": ("aggregated", "compute_error"),
        "total": ("totaled", "compute_error"),
        "reconcile": ("reconciled", "reconcile_error"),
        "compute": (None, "compute_error"),
    }
)
"""Each operation's outcome when it succeeds (None: no kind is documented) and when it fails."""


class Kind(NamedTuple):
    """One kind of event: its name as in the log, the log's list it belongs to, and what it tells."""

    name: str
    etl: str
    outcome: Outcome


def is_name(text: str) -> bool:
    """Whether a text can name an etl or a set: ASCII letters, digits and `_`, no digit first."""
    return text.isascii() and text.isidentifier()


def kinds_of(etl: str, set_name: str) -> dict[str, Kind]:
    """The seven kinds of one set by outcome: `kinds_of("asset", "AssetSet")["saved"].name` is `AssetSetSaved`."""
    return {name: Kind(set_name + outcome.suffix, etl, outcome) for name, outcome in OUTCOMES.items()}


DOCUMENTED = {"allocation": "AllocationSet", "asset": "AssetSet"}

KINDS: Mapping[str, Kind] = MappingProxyType(
    {kind.name: kind for etl, set_name in DOCUMENTED.items() for kind in kinds_of(etl, set_name).values()}
)
"""The 14 documented kinds by name, in the document's order."""


class Failure(NamedTuple):
    """What an error event tells: the error's type, its message, and the operation that failed."""

    type: str
    message: str
    operation: str | None = None


class Event(NamedTuple):
    """One thing that happened to a set.

    `kind` is a name as in the log, `time` nanoseconds since 1970 (UTC), `size` the number of records in the
    set (exact, 0 to 2**63 - 1), `window` the period that the set covers, `failure` what went wrong.
    """

    kind: str
    time: int
    size: int | None = None
    window: Window | None = None
    failure: Failure | None = None

    def to_dict(self) -> dict[str, Any]:
        """The event in the log's form: `kind`, `metadata`, `time`, in this order."""
        metadata: dict[str, Any] = {}
        if self.size is not None:
            metadata["size"] = self.size
        if self.window is not None:
            metadata["window"] = {"start": self.window.start_text, "end": self.window.end_text}
        if self.failure is not None:
            metadata["error"] = {"type": self.failure.type, "message": self.failure.message}
            if self.failure.operation is not None:
                metadata["operation"] = self.failure.operation
        return {"kind": self.kind, "metadata": metadata, "time": format_time(self.time)}

    def to_json(self) -> str:
        """`to_dict()` as JSON without white space: the same text as `json.dumps` gives, in less time."""
        return _event_json(self)


def _quoted(text: str) -> str:
    """A text as JSON that UTF-8 can hold: half of a surrogate pair makes the whole be in ASCII escapes."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return encode_basestring_ascii(text)
    return encode_basestring(text)


def _event_json(event: Event) -> str:
    """An event's text."""
    kind, time, size, window, failure = event
    metadata = "" if size is None else f'"size":{size}'
    if window is not None:
        start, end = window.start_text, window.end_text
        period = f'"window":{{"start":"{start}","end":"{end}"}}' if start and end else _open_window(start, end)
        metadata = f"{metadata},{period}" if metadata else period
    if failure is not None:
        type_, message, operation = failure
        error = f'"error":{{"type":{_quoted(type_)},"message":{_quoted(message)}}}'
        metadata = f"{metadata},{error}" if metadata else error
        if operation is not None:
            metadata = f'{metadata},"operation":{_quoted(operation)}'
    return f'{{"kind":"{kind}","metadata":{{{metadata}}},"time":"{format_time(time)}"}}'


def _open_window(*ends: str | None) -> str:
    return '"window":{{"start":{},"end":{}}}'.format(*("null" if text is None else f'"{text}"' for text in ends))


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
        if indent is not None:
            return _indented(self.to_dict(), indent)
        texts = _remembered(chain.from_iterable(self.lists.values()))
        members = [f'"{etl}":[{",".join([texts[id(e)][1] for e in events])}]' for etl, events in self.lists.items()]
        members.append(f'"counters":{json.dumps(dict(self.counters), separators=(",", ":"))}')
        return f'{{"code":200,"data":{{{",".join(members)}}}}}'


_Texts: TypeAlias = dict[int, tuple[Event, str]]
_last: _Texts = {}  # by the event's id, with the event, which keeps the id its own


def _remembered(events: Iterable[Event]) -> _Texts:
    """The events' texts: of two documents in a row most events are the same, and are written once."""
    global _last
    before = _last
    now: _Texts = {}
    for event in events:
        now[id(event)] = before.get(id(event)) or (event, _event_json(event))
    _last = now
    return now


def _indented(value: object, indent: int) -> str:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
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
        raise _wrong("code", whole["code"], "200")
    data = _object(whole["data"], "data", (*DOCUMENTED, "counters"), others=True)
    for etl in filterfalse(is_name, data):
        raise ValueError(f"data: the key {shown(etl)} is no name of a list; use letters, digits and _")
    lists = {etl: _events(etl, value) for etl, value in data.items() if etl != "counters"}
    return Document(lists, _counters(data["counters"], lists))


def _wrong(place: str, value: object, wanted: str) -> ValueError:
    return ValueError(f"{place}: expected {wanted}, found {shown(value)}")


class _Twice(NamedTuple):
    """Stands for an object in which a key stands twice, until its place is known."""

    key: str


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Twice:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        return _Twice(next(key for key in keys if keys.count(key) > 1))
    return found


def _integer(digits: str) -> int | float:
    """A number without decimals; a float, which is refused at its place, where `int` refuses without one."""
    return int(digits) if len(digits) < 40 else float(digits)


def _object(
    value: object, place: str, required: Iterable[str], optional: Iterable[str] = (), *, others: bool = False
) -> dict[str, Any]:
    if isinstance(value, _Twice):
        raise ValueError(f"{place}: the key {shown(value.key)} stands twice; keep one")
    if not isinstance(value, dict):
        raise _wrong(place, value, "an object")
    for key in required:
        if key not in value:
            raise ValueError(f"{place}: the key {key!r} is missing")
    for key in value:
        if not (others or key in required or key in optional):
            raise ValueError(f"{place}: the key {shown(key)} does not belong here")
    return value


def _list(value: object, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong(place, value, "a list")
    return value


def _text(value: object, place: str) -> str:
    if not isinstance(value, str):
        raise _wrong(place, value, "a text")
    return value


def _whole(value: object, place: str, least: int) -> int:
    if type(value) is not int or not least <= value <= MOST_SIZE:
        raise _wrong(place, value, f"a whole number from {least} to {MOST_SIZE}")
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
    raise _wrong(place, name, f"a kind, which ends in one of {', '.join(o.suffix for o in OUTCOMES.values())}")


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
        raise _wrong(f"{place}.kind", name, f"a kind of {expected}" if expected else "a kind of this list's own set")
    time = _at(f"{place}.time", parse_time, _text(item["time"], f"{place}.time"))
    kind = set_name + outcome.suffix
    return Event(kind, time, *_metadata(item["metadata"], f"{place}.metadata", outcome)), set_name


def _metadata(value: object, place: str, outcome: Outcome) -> tuple[int | None, Window | None, Failure | None]:
    sized = ("size",) if outcome.sized else ()
    failed = ("error", "operation") if outcome.error else ()
    found = _object(value, place, (), (*sized, "window", *failed))
    if "operation" in found:
        _object(value, place, ("error",), others=True)
    size = _whole(found["size"], f"{place}.size", 0) if "size" in found else None
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
        counters[kind] = _whole(count, f"data.counters.{name}", 1)
    listed = [event.kind for event in chain.from_iterable(lists.values())]
    for name in dict.fromkeys(listed):
        if counters.get(name, 0) < listed.count(name):
            raise _wrong(f"data.counters.{name}", counters.get(name), f"at least the {listed.count(name)} listed")
    return counters
