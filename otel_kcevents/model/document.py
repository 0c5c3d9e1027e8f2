"""`Document`: the JSON of `GET /model/etl/log`, written and read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from math import isfinite
from typing import Any, NamedTuple, TypeVar

from otel_kcevents.model.event import DOCUMENTED, MAX_SIZE, OUTCOMES, Event, Failure, Outcome, is_name
from otel_kcevents.model.messages import short_repr
from otel_kcevents.model.timestamps import parse_time
from otel_kcevents.model.window import Window

__all__ = ["LOG_PATH", "Document", "read_document", "unknown_kinds"]

LOG_PATH = "/model/etl/log"
"""Where a server answers with the document."""

_T = TypeVar("_T")

_MAX_DEPTH = 50  # levels of unknown metadata; json.dumps with an indent uses several Python frames per level
_MAX_DIGITS = 640  # digits that `int` accepts under every setting of sys.set_int_max_str_digits
_KIND = f"a kind, which ends in one of {', '.join(outcome.suffix for outcome in OUTCOMES.values())}"


@dataclass(frozen=True, slots=True)
class Document:
    """A log as `GET /model/etl/log` returns it.

    Attributes:
        lists: The events by etl.
        counters: The number of events by kind.
    """

    lists: Mapping[str, tuple[Event, ...]]
    counters: Mapping[str, int]

    def _repr_html_(self) -> str:
        from otel_kcevents.model.notebook import log_html  # only notebooks need it

        return log_html("Document", lambda: self)

    def to_dict(self) -> dict[str, Any]:
        """Return the whole response, envelope included, as plain dicts and lists."""
        data: dict[str, Any] = {etl: [event.to_dict() for event in events] for etl, events in self.lists.items()}
        return {"code": 200, "data": {**data, "counters": dict(self.counters)}}

    def to_json(self, indent: int | None = None) -> str:
        """Return the whole response as JSON that can be encoded as UTF-8.

        Args:
            indent: The number of spaces per level; None for JSON without whitespace.
        """
        response = self.to_dict()
        separators = (",", ":") if indent is None else None
        text = json.dumps(response, ensure_ascii=False, indent=indent, separators=separators)
        try:
            text.encode()
        except UnicodeEncodeError:  # a lone surrogate
            return json.dumps(response, indent=indent, separators=separators)
        return text


def read_document(text: str | bytes, *, strict: bool = False) -> Document:
    """Read a log document, so that writing it again preserves its meaning.

    Lists and events keep their order. A trailing `Event` of a known kind is removed. Kinds and metadata fields
    that this package does not know are kept as written: a kind under its own name, fields in `Event.extra`.
    A size, window, error or operation of an unknown kind is read as such if it has the documented form. An error in
    another form is kept as written, because the Events API does not document errors. Null in place of a list, counters
    or metadata, as Go writes empty ones, is read as empty; null in place of a size or a window is kept as written.

    Args:
        text: The JSON; bytes are UTF-8.
        strict: Refuse kinds, metadata fields, errors in other forms and nulls that are not documented.

    Returns:
        The document.

    Raises:
        ValueError: The text is not a log document: it is invalid JSON, has a missing, repeated or unexpected key,
            a value of the wrong type or form, a kind in another set's list, or a counter that is less than the
            number of events listed. The message names the place, the value and what is expected.
    """
    try:
        text = text if isinstance(text, str) else text.decode()
        response = json.loads(text, object_pairs_hook=_unique, parse_int=_parse_int)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8: {error}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error}") from None
    response = _object(response, "document", ("code", "data"), ())
    if type(response["code"]) is not int or response["code"] != 200:
        raise _mismatch("code", response["code"], "200")
    data = _object(response["data"], "data", (*DOCUMENTED, "counters"))
    for etl in data:
        if not is_name(etl):
            raise ValueError(f"data: the key {short_repr(etl)} cannot name a list; use letters, digits and _")
    lists = {etl: _events(etl, value, strict) for etl, value in data.items() if etl != "counters"}
    return Document(lists, _counters(data["counters"], [event.kind for event in chain(*lists.values())], strict))


class _DuplicateKey(NamedTuple):
    """Stands for an object in which a key appears twice, until an error can name its place."""

    key: str


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _DuplicateKey:
    found = dict(pairs)
    if len(found) < len(pairs):
        return _DuplicateKey(Counter(key for key, _ in pairs).most_common(1)[0][0])
    return found


def _parse_int(digits: str) -> int | float:
    """Return an integer, or a float if `int` might refuse so many digits, with an error that names no place."""
    return int(digits) if len(digits) < _MAX_DIGITS else float(digits)


def _mismatch(place: str, value: object, expected: str) -> ValueError:
    return ValueError(f"{place}: expected {expected}, found {short_repr(value)}")


def _object(
    value: object, place: str, required: Iterable[str] = (), optional: Iterable[str] | None = None
) -> dict[str, Any]:
    """Return *value* if it is an object with the *required* keys; others must be *optional*, unless that is None."""
    if isinstance(value, _DuplicateKey):
        raise ValueError(f"{place}: the key {short_repr(value.key)} appears twice; keep one")
    if not isinstance(value, dict):
        raise _mismatch(place, value, "an object")
    for key in required:
        if key not in value:
            raise ValueError(f"{place}: the key {key!r} is missing")
    for key in value:
        if optional is not None and key not in required and key not in optional:
            raise ValueError(f"{place}: the key {short_repr(key)} does not belong here; remove it")
    return value


def _string(value: object, place: str) -> str:
    if not isinstance(value, str):
        raise _mismatch(place, value, "a string")
    return value


def _integer_in_range(value: object, place: str, minimum: int = 0) -> int:
    if type(value) is not int or not minimum <= value <= MAX_SIZE:
        raise _mismatch(place, value, f"an integer from {minimum} to {MAX_SIZE}")
    return value


def _at(place: str, convert: Callable[..., _T], *values: object) -> _T:
    """Return `convert(*values)`; a ValueError that it raises is raised again with the place."""
    try:
        return convert(*values)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def _time(value: object, place: str) -> int:
    return _at(place, parse_time, _string(value, place))


def _window(value: object, place: str) -> Window:
    ends = _object(value, place, ("start", "end"), ())
    start, end = (None if ends[key] is None else _time(ends[key], f"{place}.{key}") for key in ("start", "end"))
    return _at(place, Window.from_ns, start, end)


def _error(value: object, place: str) -> Failure:
    error = _object(value, place, ("type", "message"), ())
    return Failure(_string(error["type"], f"{place}.type"), _string(error["message"], f"{place}.message"))


def _split_kind(name: str) -> tuple[str, Outcome] | None:
    """Return the set and the outcome that a kind is made of, such as `AssetSet` and `saved`; None for others."""
    for outcome in OUTCOMES.values():
        set_name, suffix, rest = name.rpartition(outcome.suffix)
        if suffix and rest in ("", "Event") and is_name(set_name):
            return set_name, outcome
    return None


def _events(etl: str, value: object, strict: bool) -> tuple[Event, ...]:
    value = [] if value is None and not strict else value
    if not isinstance(value, list):
        raise _mismatch(f"data.{etl}", value, "a list")
    list_set = DOCUMENTED.get(etl)
    events = []
    for number, item in enumerate(value):
        place = f"data.{etl}[{number}]"
        entry = _object(item, place, ("kind", "metadata", "time"), ())
        kind = _string(entry["kind"], f"{place}.kind")
        set_name, outcome = _split_kind(kind) or (None, None)
        is_documented = set_name in DOCUMENTED.values()
        if list_set is None and not is_documented:
            list_set = set_name  # the first kind in the list of an added set determines the set
        if outcome is not None and set_name == list_set:
            kind = f"{set_name}{outcome.suffix}"
        elif strict or is_documented or not kind:
            own = f"a kind of {list_set}" if list_set else "a kind of this list's own set"
            raise _mismatch(f"{place}.kind", kind, own if outcome else _KIND)
        else:
            outcome = None
        time = _time(entry["time"], f"{place}.time")
        events.append(Event(kind, time, *_metadata(entry["metadata"], f"{place}.metadata", outcome, strict)))
    return tuple(events)


def unknown_kinds(document: Document) -> set[str]:
    """Return the kinds of a document that a strict reader refuses.

    Args:
        document: The document.
    """
    unknown = {name for name in document.counters if _split_kind(name) is None}
    for etl, events in document.lists.items():
        list_set = DOCUMENTED.get(etl)
        for event in events:
            set_name, _ = _split_kind(event.kind) or (None, None)
            if list_set is None and set_name not in DOCUMENTED.values():
                list_set = set_name
            if set_name is None or set_name != list_set:
                unknown.add(event.kind)
    return unknown


_FIELDS: dict[str, Callable[[object, str], Any]] = {
    "size": _integer_in_range,
    "window": _window,
    "error": _error,
    "operation": _string,
}


def _metadata(
    value: object, place: str, outcome: Outcome | None, strict: bool
) -> tuple[int | None, Window | None, Failure | None, str | None]:
    """Return size, window, failure and extra.

    Unless *strict*, values of an unknown kind, errors, and nulls that do not have the documented form are extra.
    """
    value = {} if value is None and not strict else value
    documented = _FIELDS if outcome is None else outcome.fields
    known: dict[str, Any] = {}
    unknown: dict[str, Any] = {}
    for key, member in _object(value, place, (), documented if strict else None).items():
        if key not in documented:
            unknown[key] = member
            continue
        try:
            known[key] = _FIELDS[key](member, f"{place}.{key}")
        except ValueError:
            if strict or (outcome is not None and key in ("size", "window") and member is not None):
                raise
            unknown[key] = member
    if "operation" in known and "error" not in known:
        if strict:
            raise ValueError(f"{place}: the key 'error' is missing")
        unknown["operation"] = known.pop("operation")
    failure = known["error"]._replace(operation=known.get("operation")) if "error" in known else None
    for key, member in unknown.items():
        _check_unknown(member, place if len(key) > 80 or not is_name(key) else f"{place}.{key}")
    extra = json.dumps(unknown, separators=(",", ":")) if unknown else None
    return known.get("size"), known.get("window"), failure, extra


def _check_unknown(value: object, place: str, depth: int = 0) -> None:
    """Check that a value of an unknown field can be written as JSON again."""
    if isinstance(value, _DuplicateKey):
        _object(value, place)
    if isinstance(value, float) and not isfinite(value):
        raise _mismatch(place, value, "a finite number")
    if depth > _MAX_DEPTH:
        raise ValueError(f"{place}: nested more than {_MAX_DEPTH} levels deep")
    for member in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_unknown(member, place, depth + 1)


def _counters(value: object, kinds: list[str], strict: bool) -> dict[str, int]:
    counters: dict[str, int] = {}
    listed = set(kinds)
    totals: dict[str, int] = {}  # by kind without a trailing Event
    value = {} if value is None and not strict else value
    for name, count in _object(value, "data.counters").items():
        found = _split_kind(name)
        if found is None and (strict or not name):
            raise _mismatch("data.counters", name, _KIND)
        bare = name.removesuffix("Event")
        if bare in totals:
            raise ValueError(f"data.counters: {short_repr(bare)} appears twice, with and without Event; keep one")
        totals[bare] = _integer_in_range(count, _counter_place(name), 1)
        counters[name if found is None or name in listed else bare] = totals[bare]
    for bare, count in Counter(kind.removesuffix("Event") for kind in kinds).items():
        if totals.get(bare, 0) < count:
            raise _mismatch(_counter_place(bare), totals.get(bare), f"at least the {count} listed")
    return counters


def _counter_place(name: str) -> str:
    return f"data.counters.{name}" if is_name(name) and len(name) <= 80 else f"data.counters[{short_repr(name)}]"
