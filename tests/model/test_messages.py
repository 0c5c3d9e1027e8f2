"""`otel_kcevents.model.messages`: values are named without their content, exceptions shown without secrets."""

from __future__ import annotations

import linecache
from copy import copy
from datetime import date, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from otel_kcevents.model.messages import (
    MAX_MESSAGE,
    describe,
    describe_time,
    error_message,
    short_repr,
    stack_trace,
    type_name,
)


class Hostile:
    """An object whose methods fail the test if a message calls them."""

    def fail(self, *args: Any) -> Any:
        raise AssertionError("called")

    __repr__ = __str__ = __len__ = __bool__ = __iter__ = __eq__ = __hash__ = __getattr__ = __format__ = fail
    __class__ = property(fail)


class Zone(tzinfo):
    __repr__ = utcoffset = tzname = dst = Hostile.fail


class Rows(list[int]):
    __len__ = __repr__ = Hostile.fail


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "description"),
    [
        (None, "None"),
        (True, "True"),
        (-1, "-1"),
        (2**63, "9223372036854775808"),
        (10**5000, "an int of 16610 bits"),
        (float("nan"), "nan"),
        (date(2024, 9, 18), "datetime.date(2024, 9, 18)"),
        (
            datetime(2024, 9, 18, tzinfo=timezone.utc),
            "datetime.datetime(2024, 9, 18, 0, 0, tzinfo=datetime.timezone.utc)",
        ),
        (datetime(2024, 9, 18, tzinfo=Zone()), "a datetime"),
        (timedelta(1), "a timedelta"),
        ("hunter2", "a str of 7 characters"),
        (b"x", "a bytes of 1 byte"),
        ([], "[]"),
        ("", "''"),
        ([0.5] * 1_000_000, "a list of 1000000 items"),
        ({"password": "hunter2"}, "a dict of 1 item"),
        (nested(100_000), "a list of 1 item"),
        (Rows(), "a Rows"),
        (Hostile(), "a Hostile"),
        (Hostile, "a type"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_value_is_described_without_its_content(value: Any, description: str) -> None:
    assert describe(value) == description
    if type(value) is not str:
        assert short_repr(value) == describe_time(value) == description


@pytest.mark.parametrize("text", ["2024-13-01", "2024-09-18T22:00:00Z/PT1H", "24H", "1586822400, 1586908800"])
def test_string_that_can_only_be_a_time_is_shown(text: str) -> None:
    assert describe_time(text) == repr(text)


@pytest.mark.parametrize("text", ["hunter2", "1" * 100, "acme"])
def test_other_string_in_place_of_a_time_is_not_shown(text: str) -> None:
    assert describe_time(text) == f"a str of {len(text)} characters"


def test_setting_is_shown_and_truncated() -> None:
    assert short_repr("result.rows") == "'result.rows'"
    assert short_repr("x" * 1_000_000) == f"'{'x' * 79}…"
    assert short_repr(["hunter2"]) == "a list of 1 item"


class OwnError(Exception):
    """An exception that holds an object which describes the error, as in oracledb."""


class Description:
    def __str__(self) -> str:
        return "ORA-01017: logon denied"


class Name(str):
    __slots__ = ()
    __str__ = __repr__ = __getitem__ = Hostile.fail


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError(), ""),
        (ValueError("disk full"), "disk full"),
        (OSError(28, "No space left", "/data"), "[Errno 28] No space left: '/data'"),
        (OSError(28, "No space left", "x" * 10**6), "(28, 'No space left')"),
        (FileNotFoundError(Path("prices.csv")), "prices.csv"),
        (KeyError("day"), "'day'"),
        (KeyError(b"day"), "a bytes of 3 bytes"),
        (KeyError("x" * 10**6), "'" + "x" * (MAX_MESSAGE - 1) + "…"),
        (StopIteration([1.5] * 10**6), "a list of 1000000 items"),
        (ValueError("bad rows", {"a": 1}, None), "('bad rows', a dict of 1 item, None)"),
        (ValueError(10**5000), "an int of 16610 bits"),
        (ValueError(Hostile()), "a Hostile"),
        (ValueError(Name("hunter2")), "hunter2"),
        (OwnError(Description()), "ORA-01017: logon denied"),
        (URLError(OSError("no route")), "<urlopen error no route>"),
        (ConnectionError(OSError(b"x")), "a bytes of 1 byte"),
        (ConnectionError("Aborted", OSError("closed", [])), "('Aborted', OSError(('closed', [])))"),
        (ValueError("token=hunter2 " + "x" * 10**6), "token=[redacted] " + "x" * (MAX_MESSAGE - 17) + "…"),
        (ValueError(" ".join(["token=hunter2"] * 1000)), " ".join(["token=[redacted]"] * 241)[:MAX_MESSAGE] + "…"),
        (ValueError(f"{'password=' + 'x' * 4000} " + "y" * 600 + " pg://a:hunter2@db " + "z" * 600), None),
        (ValueError("half \ud800 pair"), "half ? pair"),
        (Unprintable(), "(the message cannot be read)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_message_of_an_exception_holds_no_data(error: Exception, message: str | None) -> None:
    found = error_message(error)
    assert found == message or (message is None and "hunter2" not in found)
    assert len(found) <= MAX_MESSAGE + 1


def test_secret_at_the_end_of_what_is_scrubbed_is_removed() -> None:
    """Half of a token would not be recognized."""
    message = f"password={'x' * 4000} {'y' * 1097} ghp_{'z' * 36} {'y' * 600}"
    assert error_message(ValueError(message)) == f"password=[redacted] {'y' * 1097}…"


def raise_chain() -> None:
    try:
        try:
            raise KeyError([1] * 10)
        except KeyError as error:
            raise ValueError("password=hunter2") from error
    except ValueError:
        raise RuntimeError("pg://etl:hunter2@db") from None


def caught(function: Any) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        function()
    return caught.value


def test_stack_trace_has_the_chain_without_data() -> None:
    error = caught(raise_chain)
    error.__suppress_context__ = False
    trace = stack_trace(error)
    assert "hunter2" not in trace
    parts = [
        "KeyError: a list of 10 items\n",
        "ValueError: password=[redacted]\n",
        "RuntimeError: pg://[redacted]@db\n",
    ]
    assert [trace.index(part) for part in parts] == sorted(trace.index(part) for part in parts)
    assert trace.count("Traceback (most recent call last):\n") == 3
    assert ", in raise_chain\n    raise KeyError([1] * 10)\n" in trace
    assert "direct cause" in trace
    assert "During handling" in trace


def test_stack_trace_omits_a_suppressed_context() -> None:
    assert stack_trace(caught(raise_chain)).count("Traceback") == 1


def test_stack_trace_of_an_error_that_was_not_raised() -> None:
    assert stack_trace(ValueError()) == "ValueError\n"


def test_stack_trace_of_a_chain_with_a_loop_ends() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__context__, second.__context__ = second, first
    assert stack_trace(first).count("ValueError") == 2


def test_stack_trace_of_a_long_chain_is_truncated() -> None:
    last = error = ValueError("0")
    for number in range(1, 1_000):
        error.__context__ = ValueError(str(number))
        error = error.__context__
    assert stack_trace(last).count("ValueError") == 32


def test_long_line_of_code_is_truncated(monkeypatch: pytest.MonkeyPatch) -> None:
    code = compile(f"{'x' * 100_000} = 1 / 0", "generated", "exec")
    monkeypatch.setitem(linecache.cache, "generated", (0, None, [f"{'x' * 100_000} = 1 / 0\n"], "generated"))
    trace = stack_trace(caught(lambda: exec(code)))
    assert len(trace) < 10_000
    assert trace.endswith("…\nZeroDivisionError: division by zero\n")


def test_stack_trace_has_notes_and_members_of_a_group() -> None:
    """They are set as attributes, because Python 3.10 does not have them."""
    error: Any = ValueError("group")
    error.__notes__ = ["secret=hunter2", 5]
    error.exceptions = (OSError("full"), "no exception", KeyError("day"))
    assert stack_trace(error) == "ValueError: group\nsecret=[redacted]\n5\n  | OSError: full\n  | KeyError: 'day'\n"


def test_stack_trace_has_32_exceptions_of_groups_and_16_notes() -> None:
    """Each level of these groups has 20 times as many exceptions as the one above."""
    error = Exception("member")
    for level in range(5):
        group = Exception(f"group {level}")
        group.exceptions = tuple(copy(error) for _ in range(20))  # type: ignore[attr-defined]
        error = group
    error.__notes__ = ["note"] * 20
    trace = stack_trace(error)
    assert (trace.count("Exception: "), trace.count("group 4"), trace.count("note")) == (32, 1, 16)


def test_type_of_an_exception_has_its_module() -> None:
    assert (type_name(ValueError()), type_name(OwnError())) == ("ValueError", f"{__name__}.OwnError")
