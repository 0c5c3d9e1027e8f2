"""Times and periods of other libraries: numpy, pandas, pyarrow, Arrow, whenever, Protocol Buffers.

They are recognized by the names of their types, so that none of these libraries is imported, and converted exactly.
Subclasses of `datetime` are converted by `timestamps.to_ns`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from otel_kcevents.model.intervals import parse_moment
from otel_kcevents.model.messages import describe_time
from otel_kcevents.model.timestamps import SECOND, format_time, to_ns

__all__ = ["end_to_ns", "ends_of", "pair_of", "to_plain"]

_PAIRS = (("start", "end"), ("start_time", "end_time"), ("left", "right"))
_KEYS = (*_PAIRS, ("Start", "End"))  # a TimePeriod of AWS Cost Explorer, whose end is exclusive
_OF_WHENEVER = "Instant", "ZonedDateTime", "OffsetDateTime", "SystemDateTime", "PlainDateTime", "Date", "YearMonth"
_ARROW_UNITS = {"s": SECOND, "ms": 1_000_000, "us": 1_000, "ns": 1}


def to_plain(value: Any) -> Any:
    """Return a time of another library as a datetime, a date or an ISO 8601 string; any other value unchanged.

    Other scalars of pyarrow are returned as Python values.

    Raises:
        ValueError: The value is a missing time, such as NaT.
    """
    convert = _converter(value)
    return value if convert is None else convert(value)


def end_to_ns(value: Any) -> int | None:
    """Return the start or the end of a window in nanoseconds since 1970 (UTC); None if it is open.

    Args:
        value: None for an open end, a datetime (UTC if it is naive), a date, a string that `parse_moment` reads, or a
            time or a period of another library. A date or a period stands for its start.

    Raises:
        TypeError: The value has an unsupported type.
        ValueError: The value is a string of another form, or a missing time, such as NaT.
    """
    if value is None:
        return None
    plain = value if isinstance(value, date) else to_plain(value)
    if isinstance(plain, str):
        ns = parse_moment(plain)
        if ns is None:
            raise ValueError(f"{describe_time(plain)} is not a time; write it as in 2022-06-03T16:58:41Z")
        return ns
    return to_ns(plain)


def ends_of(value: Any) -> tuple[int | None, int | None] | None:
    """Return start and end of an object or a mapping, as `end_to_ns` returns them; None if it does not have both.

    Args:
        value: One of these:

            - a mapping with a key `window` that holds a mapping, such as an allocation of the Kubecost API
            - an object with the attributes, or a mapping with the keys, `start` and `end`, `start_time` and `end_time`,
              or `left` and `right`
            - a mapping with the keys `Start` and `End`
            - a pandas Period

    Raises:
        TypeError: An end has an unsupported type.
        ValueError: An end is a string of another form, or a missing time, such as NaT.
    """
    if _name_of(value) == ("pandas", "Period"):
        return end_to_ns(value.start_time), end_to_ns((value + 1).start_time)
    pair = pair_of(value)
    return None if pair is None else (end_to_ns(pair[0]), end_to_ns(pair[1]))


def pair_of(value: Any) -> tuple[Any, Any] | None:
    """Return start and end of an object or a mapping as they are; None if it does not have both.

    Args:
        value: A value as for `ends_of`, but not a pandas Period.
    """
    if isinstance(value, Mapping):
        if isinstance(value.get("window"), Mapping):
            value = value["window"]
        names = next((names for names in _KEYS if all(name in value for name in names)), None)
        return None if names is None else (value[names[0]], value[names[1]])
    names = next((names for names in _PAIRS if all(hasattr(value, name) for name in names)), None)
    return None if names is None else (getattr(value, names[0]), getattr(value, names[1]))


def _name_of(value: Any) -> tuple[str, str] | None:
    """Return the library and the name of the type that `_CONVERTERS` has for a value; None if it has none."""
    for kind in type(value).__mro__:
        name = (kind.__module__.partition(".")[0], kind.__name__)
        if name in _CONVERTERS:
            return name
    return None


def _converter(value: Any) -> Callable[[Any], Any] | None:
    name = None if isinstance(value, str) else _name_of(value)
    return None if name is None else _CONVERTERS[name]


def _from_numpy(value: Any) -> str:
    """Return a datetime64 as ISO 8601; as a day, an hour or a month only if that is its unit."""
    text = str(value)
    if text == "NaT":
        raise ValueError("NaT is not a time; use None for an open end")
    if value.dtype.name in ("datetime64[M]", "datetime64[D]", "datetime64[h]"):
        return text
    return (text + "0000-01-01T00:00:00"[len(text) :])[:29]  # units below a nanosecond are truncated


def _from_array(value: Any) -> Any:
    return value if value.ndim else to_plain(value[()])


def _from_pyarrow(value: Any) -> str:
    if value.value is None:
        raise ValueError("a null of pyarrow is not a time; use None for an open end")
    return format_time(value.value * _ARROW_UNITS[value.type.unit])


def _date_from_pyarrow(value: Any) -> date:
    if value.value is None:
        raise ValueError("a null of pyarrow is not a date; use None for an open end")
    day: date = value.as_py()
    return day


_CONVERTERS: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("numpy", "datetime64"): _from_numpy,
    ("numpy", "ndarray"): _from_array,  # with zero dimensions, as in xarray
    ("pandas", "Period"): lambda period: period.start_time,
    ("pyarrow", "TimestampScalar"): _from_pyarrow,
    ("pyarrow", "Date32Scalar"): _date_from_pyarrow,
    ("pyarrow", "Date64Scalar"): _date_from_pyarrow,
    ("pyarrow", "Scalar"): lambda scalar: scalar.as_py(),  # the base class, after those above
    ("google", "Timestamp"): lambda time: format_time(time.seconds * SECOND + time.nanos),
    ("arrow", "Arrow"): lambda time: time.datetime,
    **dict.fromkeys((("whenever", name) for name in _OF_WHENEVER), str),
}
"""Functions that return a datetime, a date or an ISO 8601 string, by the library and the name of a value's type."""
