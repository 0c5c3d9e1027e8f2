"""The number of records in a result, in the argument that a save saves, and in a value that `size=` names."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from itertools import islice
from operator import index
from types import NoneType
from typing import Any

from otel_kcevents.model.event import MAX_SIZE
from otel_kcevents.model.messages import describe
from otel_kcevents.model.moments import to_plain
from otel_kcevents.record.set_types import Role, has_option_keys, is_option_name, role_of
from otel_kcevents.record.signatures import Args, Extractor, Kwargs, signature_of

__all__ = ["add_size", "first_size", "result_size", "to_size"]

_NOT_SETS = (str, bytes, bytearray, bool)
_REMEDY = "name the size with size=, or record none with size=False"
_MOST_PERIOD_KEYS = 4  # such as start, end, step and zone
_MANY = 16  # the first values of a dict, and the most results of one function, that are looked at

# A list whose first item has one of these types has its `len()` as its size, unless it is a start and an end. Most sets
# are such lists, and a look at one type is all that they cost.
_RECORD_TYPES: frozenset[type] = frozenset((dict, tuple))
_ITEM_TYPES: frozenset[type] = _RECORD_TYPES | {int, float, NoneType}  # of an empty list, too
_RESULT_TYPES: frozenset[type] = _ITEM_TYPES | {str}

# The ranks of a save's arguments, the most likely set first
_RECORDS, _VALUES, _NAMED_RECORDS, _NAMED_NUMBERS, _RANGE, _NO_SET = range(6)


@cache  # compiled when first needed, because it would slow down every import
def _time_pattern() -> re.Pattern[str]:
    return re.compile(
        r"""(?:19|20)\d\d (?: -?(?:0[1-9]|1[0-2]) (?: -?(?:0[1-9]|[12]\d|3[01]) )? (?: [T\ ,/].* )? | -?W\d\d.* )
        | 1\d{9}(?:\d{3})?(?:\.\d+)? (?: [,-]1\d{9} )?
        | \d\d?:\d\d.* | \d\d?[./-]\d\d?[./-](?:19|20)\d\d.*
        | [-+]?\d+\ ?(?:[smhdwy]|ms|sec|min|hr|seconds?|minutes?|hours?|days?|weeks?|months?|years?) (?: \ offset.* )?
        | P(?=T?\d)(?:\d+[YMWD])*(?:T(?:\d+[HMS])+)?
        | (?:now|today|yesterday|tomorrow)(?:[-+/ ].*)?
        | (?:(?:this|last|previous|current|next)[ _-]?)?(?:\d+[ _-]?)?(?:hour|day|week|month|quarter|year)s?
        """,
        re.ASCII | re.IGNORECASE | re.VERBOSE | re.DOTALL,
    )


@cache
def _period_key_pattern() -> re.Pattern[str]:
    return re.compile(
        r"(?:.*_|window|period|interval)?(?:start|begin|since|from)(?:_?(?:date|time|at|day|ts))?|left|after|gte?",
        re.IGNORECASE,
    )


def to_size(value: Any) -> int:
    """Return the number of records of a named size; `len()` of a lazy set may start a computation.

    Args:
        value: An integer, or a set, whose `len()` is taken.

    Raises:
        TypeError: The value is neither.
        ValueError: The integer is negative or more than `MAX_SIZE`.
    """
    if isinstance(value, _NOT_SETS):
        raise TypeError(f"{describe(value)} is not a size; expected an integer or something with len()")
    if hasattr(value, "__len__"):
        try:
            return len(value)
        except TypeError:
            if not hasattr(value, "__index__"):  # an array without dimensions has both
                raise
    try:
        size = index(value)
    except TypeError:
        plain = to_plain(value)
        if plain is value or type(plain) is not int:
            raise
        size = plain
    if not 0 <= size <= MAX_SIZE:
        raise ValueError(f"{describe(size)} is not a size; expected an integer from 0 to {MAX_SIZE}")
    return size


def add_size(total: int, value: Any) -> int:
    """Return a total with another size added.

    Args:
        total: The sum of the sizes so far.
        value: Anything that `to_size` converts; None adds nothing.

    Raises:
        TypeError: The value is not a size.
        ValueError: The value or the sum is negative or more than `MAX_SIZE`.
    """
    return total if value is None else to_size(total + to_size(value))


def _list_size(value: Any, types: Collection[type]) -> int | None:
    """Return the size of a list if its first item has one of these types; None if the value has to be examined."""
    if type(value) is not list or type(value[0] if value else None) not in types:
        return None
    return None if len(value) == 2 and _is_period(value) else len(value)


def result_size(args: Args, kwargs: Kwargs, result: Any) -> int:
    """Return the number of records in the result of a call, without starting the computation of a lazy set.

    Raises:
        TypeError: The result is not a set, is lazy, or has a `len()` that does not count records.
    """
    if type(result) is list and len(result) > 2 and type(result[0]) in _RESULT_TYPES:  # the usual case
        return len(result)
    size = _list_size(result, _RESULT_TYPES)
    if size is not None:
        return size
    if type(result) is tuple and len(result) == 2 and _is_value(result[0]):
        raise TypeError(f"{describe(result)} may be two results; {_REMEDY}")
    return _set_size(result)


def _set_size(value: Any) -> int:
    role = role_of(type(value))
    if role == "records" or role == "range" or (role == "mapping" and _rank_of_mapping(value) != _NO_SET):
        return len(value)
    if role == "collection":
        return _collection_size(value)
    if role == "array":
        if _is_period(value):
            raise TypeError(f"{describe(value)} is a period, not a set; {_REMEDY}")
        return len(value)
    if role == "proxy":
        return _set_size(value.__wrapped__)
    if role == "lazy":
        library = type(value).__module__.partition(".")[0]
        raise TypeError(f"{describe(value)} ({library}) is lazy, or its len() does not count records; {_REMEDY}")
    if role == "mapping":
        raise TypeError(f"{describe(value)} holds columns, groups or options rather than records by name; {_REMEDY}")
    raise TypeError(f"{describe(value)} is not a set; {_REMEDY}")


def _collection_size(value: Collection[Any]) -> int:
    """Return the number of items if they are records, or the size of the first item of a tuple of results."""
    if _is_period(value):
        raise TypeError(f"{describe(value)} is a period, not a set; {_REMEDY}")
    first = next(iter(value), None)
    role = role_of(type(first))
    if type(value) is tuple and 0 < len(value) <= _MANY and not _are_alike(value):
        last_rank = _RANGE if role == "mapping" else _VALUES
        others = [item for item in value[1:] if _rank(item) <= last_rank]
        if others or role not in ("records", "array", "collection", "mapping", "proxy"):
            raise TypeError(f"{describe(value)} may hold several results rather than records; {_REMEDY}")
        return _set_size(first)
    is_page = type(first) is list and bool(first) and role_of(type(first[0])) in ("mapping", "object")
    if is_page or role in ("records", "array", "lazy"):
        raise TypeError(f"{describe(value)} holds sets rather than records; {_REMEDY}, such as size='result[*]'")
    return len(value)


def _are_alike(items: tuple[Any, ...]) -> bool:
    """Return whether the items of a tuple are records, rather than several results of one function."""
    first = items[0]
    if {type(item) for item in items} != {type(first)}:
        return False
    if type(first) is dict:
        return all(item.keys() == first.keys() for item in items)
    return type(first) is not list and role_of(type(first)) not in ("records", "array", "lazy")


def first_size(function: Callable[..., Any], window: str, whole: Extractor | None = None) -> Extractor:
    """Return a reader of the size of the set that a save saves, from its arguments; it is used before the call.

    The set is the first argument, in this order of preference:

    1. a data frame, a list of records, an object of a class with `__len__`, or a lazy or unsized set (no size)
    2. a list, a tuple or a set of strings or numbers; if there are several of different lengths, none of them
    3. a dict of records by name, then one of numbers by name; if there are several, none of them
    4. a range
    5. an object that has a `len()` and holds the window, as in `window="batch.window"`

    These are not sets: `self` and `cls`, the window, strings, periods in every form, requests, configurations,
    connections, files, mocks, dicts of options or columns, and any argument with a name such as `options`, `columns`
    or `event`. The default of an argument is not measured.

    Args:
        function: The function that is called, not a partial of one.
        window: The name of the argument that holds the window.
        whole: Reads that argument, if the window is an attribute of it.
    """
    signature = signature_of(function)
    order = {name: position for position, name in enumerate(signature.parameters)}
    defaults = [parameter.default for name, parameter in signature.parameters.items() if signature.is_positional(name)]
    skipped = {name for name in order if name == window or is_option_name(name)}
    skipped.update({"self", "cls"}.intersection([*order][:1]))
    skipped_positions = {order[name] for name in skipped if signature.is_positional(name)}
    by_position = [(at, default) for at, default in enumerate(defaults) if at not in skipped_positions]
    by_name = [(name, parameter.default) for name, parameter in signature.parameters.items() if name not in skipped]

    def candidates(args: Args, kwargs: Kwargs) -> list[Any]:
        found = [args[at] for at, default in by_position if at < len(args) and args[at] is not default]
        found += args[len(defaults) :]
        if kwargs:
            found += [kwargs[name] for name, default in by_name if kwargs.get(name, default) is not default]
            found += [
                kwargs[name] for name in kwargs if name not in order and name != window and not is_option_name(name)
            ]
        return found

    def read(args: Args, kwargs: Kwargs, result: Any) -> int:
        if signature.positions != "known":
            signature.check_positions(args, kwargs)
        values = candidates(args, kwargs)
        types = _ITEM_TYPES if len(values) == 1 else _RECORD_TYPES  # those that precede all other arguments
        found: dict[int, list[Any]] = {}
        for value in values:
            size = _list_size(value, types)
            if size is not None:
                return size
            rank = _rank(value)
            if rank == _RECORDS:
                return _set_size(value)
            found.setdefault(rank, []).append(value)
        if whole is not None and found.keys() <= {_NO_SET}:
            holder = whole(args, kwargs, result)
            if role_of(type(holder)) == "records":
                return len(holder)
        chosen = _choose(found)
        return len(chosen) if type(chosen) in (list, dict) else _set_size(chosen)  # their rank depends on their items

    return read


def _choose(found: Mapping[int, list[Any]]) -> Any:
    """Return the set among the candidates, which are grouped by rank."""
    values, records = found.get(_VALUES, []), found.get(_NAMED_RECORDS, [])
    named = [*records, *found.get(_NAMED_NUMBERS, [])]
    is_uncertain = (records or len(set(map(len, values))) > 1) if values else len(named) > 1
    if is_uncertain:
        raise TypeError(f"several arguments may be the set; {_REMEDY}")
    for candidates in (values, named, found.get(_RANGE)):
        if candidates:
            return candidates[0]
    raise TypeError(f"no argument is recognized as the set; {_REMEDY}")


def _rank(value: Any) -> int:
    role = role_of(type(value))
    if role in ("records", "lazy"):
        return _RECORDS
    if role in ("collection", "array"):
        if _is_period(value) or _are_times(value):
            return _NO_SET
        first = next(iter(value), None) if role == "collection" else value
        if not _is_value(first):
            return _RECORDS
        # Two numbers are more likely a range of hours than a set.
        return _NO_SET if type(value) is tuple and len(value) == 2 and type(first) in (int, float) else _VALUES
    if role == "mapping":
        return _rank_of_mapping(value)
    if role == "proxy":
        return _rank(value.__wrapped__)
    return _RANGE if role == "range" else _NO_SET


def _rank_of_mapping(value: Mapping[Any, Any]) -> int:
    """Return the rank of a plain dict: of records, of numbers, or of other values, such as options or columns."""
    if has_option_keys(islice(value, _MANY)):
        return _NO_SET
    items = [*islice(value.values(), _MANY)]
    roles = _roles(items)
    if roles <= {"number", "string"} and all(map(_is_number, items)):
        keys = value if len(value) <= _MOST_PERIOD_KEYS else ()
        is_period = any(type(key) is str and _period_key_pattern().fullmatch(key) for key in keys)
        return _NO_SET if is_period else _NAMED_NUMBERS
    if not roles <= {"object", "mapping"}:
        return _NO_SET
    first = items[0]
    if role_of(type(first)) == "mapping" and first and type(next(iter(first))) is not str:
        return _NO_SET  # columns with numbered rows, as `DataFrame.to_dict()` returns them
    if role_of(type(first)) == "mapping" and first and _roles(islice(first.values(), _MANY)) <= {"object", "mapping"}:
        return _NAMED_RECORDS if has_option_keys(islice(first, _MANY)) else _NO_SET  # a record, or a group of them
    return _NAMED_RECORDS


def _roles(items: Iterable[Any]) -> set[Role]:
    return {role_of(kind) for kind in set(map(type, items))}


def _is_value(value: Any) -> bool:
    """Return whether an item of a collection is not a record: a string, a number, None, a path, a member of an Enum."""
    return role_of(type(value)) in ("string", "number", "never")


def _is_number(value: Any) -> bool:
    """Return whether a value is a number or a string with a number, because JSON often has costs as strings."""
    if type(value) is not str:
        return role_of(type(value)) == "number"
    whole, _, fraction = value.lstrip("+-").partition(".")
    digits = f"{whole}{fraction}"
    return digits.isascii() and digits.isdecimal() and len(whole) < 10  # longer ones are ids of accounts


def _is_period(value: Any) -> bool:
    """Return whether a list, a tuple or an array is a start and an end."""
    if type(value) not in (list, tuple):
        return role_of(type(value)) == "array" and _are_times(value) and len(value) == 2
    return len(value) == 2 and _is_end(value[0]) and _is_end(value[1])


def _are_times(value: Any) -> bool:
    """Return whether a list, a tuple or an array is a series of times."""
    if type(value) in (list, tuple):
        return bool(value) and _is_time(value[0]) and _is_time(value[-1])
    return role_of(type(value)) == "array" and value.dtype.kind in "mM"


def _is_end(value: Any) -> bool:
    if type(value) in (int, float):
        return bool(6e8 <= value < 4.2e9 or 6e11 <= value < 4.2e12)  # Unix times in (milli)seconds, from 1989 to 2103
    return value is None or _is_time(value)


def _is_time(value: Any) -> bool:
    role = role_of(type(value))
    if role == "string":
        return not value or _time_pattern().fullmatch(str(value[:64])) is not None
    return role == "time"
