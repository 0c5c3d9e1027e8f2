"""`Operation` as a decorator: its keywords, decorating twice, and the arguments it refuses."""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from opentelemetry.trace import StatusCode
from telemetry import DAY, Telemetry, Warned

from otel_kcevents.model.event import Event, Failure
from otel_kcevents.model.window import Window


def load(window: Any, count: int = 2) -> list[int]:
    return list(range(count))


# Size


def test_items_are_not_counted_if_the_kind_has_no_size(telemetry: Telemetry) -> None:
    @telemetry.asset.total
    def totals() -> Iterator[int]:
        yield 1

    assert list(totals()) == [1]
    assert telemetry.span_event.attributes == {"kcevents.kind": "AssetSetTotaled"}


@pytest.mark.parametrize(("size", "recorded"), [(None, 1), ("result.total", 1), ("rows", 3)])
def test_generator_closed_early_has_no_result(telemetry: Telemetry, warned: Warned, size: Any, recorded: int) -> None:
    """Its size is the number of items so far, unless it is read from an argument; `fails_when` is not called."""

    @telemetry.asset.load(fails_when=lambda result: result is None, size=size)
    def items(rows: list[int]) -> Iterator[int]:
        yield from rows

    for _ in items([1, 2, 3]):
        break
    assert telemetry.event == Event("AssetSetLoaded", telemetry.event.time, recorded)
    assert warned() == []


# fails_when


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        (None, "None"),
        (False, "False"),
        (0, "0"),
        (1.5, "1.5"),
        ([1, 2], "a list of 2 items"),
        ("secret", "a str of 6 characters"),
        (10**5000, "an int of 16610 bits"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_result_can_mean_failure(telemetry: Telemetry, result: Any, shown: str) -> None:
    """The message shows only the type of a result that may be long or confidential."""
    save: Any = telemetry.asset.save(fails_when=lambda found: found is result)(lambda rows, window: result)
    assert save([1], DAY) is result
    assert telemetry.event.failure is not None
    assert telemetry.event.failure.message.endswith(f" returned {shown}")
    failure = Failure("FailedResult", telemetry.event.failure.message, "save")
    assert telemetry.event == Event("AssetSetComputeError", telemetry.event.time, None, DAY, failure)
    assert telemetry.span.status.status_code is StatusCode.ERROR
    assert [event.name for event in telemetry.span.events] == ["AssetSetComputeError"]


def test_other_results_are_successes(telemetry: Telemetry) -> None:
    count: Any = telemetry.asset.load(fails_when=lambda result: result is None)(load)
    assert count(DAY) == [0, 1]
    assert telemetry.event == Event("AssetSetLoaded", telemetry.event.time, 2, DAY)


class Ambiguous:
    """A value that is neither true nor false, like an array."""

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")


@pytest.mark.parametrize("fails_when", [lambda found: found["status"] == 500, lambda found: Ambiguous()])
def test_fails_when_that_raises_is_ignored(telemetry: Telemetry, warned: Warned, fails_when: Any) -> None:
    get: Any = telemetry.asset.load(fails_when=fails_when)(lambda: [1])
    assert (get(), get()) == ([1], [1])
    assert telemetry.kinds == ["AssetSetLoaded"] * 2
    (warning,) = warned()
    assert "fails_when" in warning


# Exceptions that are not failures


class Skip(Exception):
    """Raised to skip a task."""


class Exit(RuntimeError):
    """The exception that ends a command of click or typer."""

    def __init__(self, exit_code: Any) -> None:
        self.exit_code = exit_code


class Closed(Exception):
    """An exception whose `exit_code` cannot be read."""

    @property
    def exit_code(self) -> int:
        raise OSError("connection closed")


def raise_(error: BaseException) -> None:
    raise error


async def raise_later(error: BaseException) -> None:
    raise error


def raise_between(error: BaseException) -> Iterator[int]:
    yield 1
    raise error


@pytest.mark.parametrize("ignore", [Skip, (KeyError, Exception)], ids=["type", "tuple"])
@pytest.mark.parametrize("function", [raise_, raise_later, raise_between], ids=lambda function: function.__name__)
def test_ignored_exception_records_no_event(telemetry: Telemetry, function: Any, ignore: Any) -> None:
    error = Skip("nothing to do")
    called = partial(telemetry.asset.load(ignore=ignore)(function), error)
    with pytest.raises(Skip) as raised:
        asyncio.run(called()) if function is raise_later else list(called())
    assert raised.value is error
    assert (telemetry.events, telemetry.log.counts()) == ([], {})
    assert telemetry.span.status.status_code is StatusCode.UNSET
    assert telemetry.span.events == ()


def test_other_exceptions_remain_failures(telemetry: Telemetry) -> None:
    with pytest.raises(KeyError):
        telemetry.asset.load(ignore=Skip)(raise_)(KeyError("gone"))
    assert telemetry.kinds == ["AssetSetComputeError"]


@pytest.mark.parametrize("ignore", ["Skip", [Skip], int, (Skip, "Skip"), Skip("one")], ids=repr)
def test_ignore_must_be_exception_types(telemetry: Telemetry, ignore: Any) -> None:
    with pytest.raises(TypeError, match=re.escape(f"ignore={ignore!r}")):
        telemetry.asset.load(ignore=ignore)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Exit(0), "AssetSetLoaded"),
        (Exit(3), "AssetSetComputeError"),
        (Exit(False), "AssetSetComputeError"),
        (Exit(None), "AssetSetComputeError"),
        (Closed(), "AssetSetComputeError"),
    ],
    ids=["0", "3", "False", "None", "unreadable"],
)
def test_exit_code_decides_between_success_and_failure(telemetry: Telemetry, error: Exception, kind: str) -> None:
    with pytest.raises(type(error)):
        telemetry.asset.load(raise_)(error)
    assert telemetry.kinds == [kind]


# Decorated twice


def called_by_object(function: Callable[..., Any]) -> Any:
    class Loader:
        __call__ = staticmethod(function)

    return Loader()


BETWEEN: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda function: function,
    "partial": functools.partial,
    "partial of partial": lambda function: functools.partial(functools.partial(function)),
    "staticmethod": staticmethod,
    "object": called_by_object,
}


@pytest.mark.parametrize("between", BETWEEN.values(), ids=BETWEEN)
def test_decorating_twice_records_once(telemetry: Telemetry, between: Callable[[Any], Any]) -> None:
    again = telemetry.asset.load(between(telemetry.asset.load(load)))
    assert again(DAY) == [0, 1]
    assert (telemetry.kinds, len(telemetry.spans)) == (["AssetSetLoaded"], 1)


def test_function_with_copied_attributes_is_recorded(telemetry: Telemetry) -> None:
    """`functools.wraps` copies name, docstring and attributes to a function that does not call the original."""

    @telemetry.asset.save
    def save(rows: list[int], window: Any) -> None:
        """Save rows."""

    @telemetry.asset.save
    @functools.wraps(save)
    def save_elsewhere(rows: list[int], window: Any) -> None: ...

    save_elsewhere([1], DAY)
    assert telemetry.kinds == ["AssetSetSaved"]


def test_wrapper_of_another_package_records_each_call(telemetry: Telemetry) -> None:
    """With a retry in between, the outer decorator records one call, and the inner one each attempt."""
    attempts: list[OSError | None] = [OSError("gone"), None]

    @telemetry.asset.compute
    def load(window: Any) -> list[int]:
        if error := attempts.pop(0):
            raise error
        return [1]

    @telemetry.asset.load
    @functools.wraps(load)
    def retried(*args: Any) -> list[int]:
        with suppress(OSError):
            return load(*args)
        return load(*args)

    assert retried(DAY) == [1]
    assert telemetry.kinds == ["AssetSetComputeError", "AssetSetLoaded"]


def test_decorating_above_and_below_classmethod_records_once(telemetry: Telemetry) -> None:
    class Loader:
        @telemetry.asset.load
        @classmethod
        @telemetry.asset.load
        def run(cls, window: Any) -> list[int]:
            return [1]

    assert Loader.run(DAY) == [1]
    assert telemetry.kinds == ["AssetSetLoaded"]


@pytest.mark.parametrize(
    ("etl", "operation", "kind"),
    [("asset", "aggregate", "AssetSetAggregated"), ("allocation", "load", "AllocationSetLoaded")],
)
def test_different_operations_each_record_once(telemetry: Telemetry, etl: str, operation: str, kind: str) -> None:
    """Even if they alternate on one function."""
    other = getattr(getattr(telemetry, etl), operation)
    decorated = telemetry.asset.load(other(telemetry.asset.load(load)))
    assert decorated(DAY) == [0, 1]
    assert sorted(telemetry.kinds) == sorted([kind, "AssetSetLoaded"])


def test_different_logs_on_one_function_each_record(telemetry: Telemetry) -> None:
    other = Telemetry()
    assert other.asset.load(telemetry.asset.load(load))(DAY) == [0, 1]
    assert telemetry.kinds == other.kinds == ["AssetSetLoaded"]


# Refused at decoration


@pytest.mark.parametrize("wrong", [Window, 5, "load", object(), staticmethod(Window)], ids=type)
def test_only_functions_can_be_decorated(telemetry: Telemetry, wrong: Any) -> None:
    with pytest.raises(TypeError, match="decorate a function, a method or a callable object"):
        telemetry.asset.load(wrong)


@pytest.mark.parametrize("operation", ["total", "reconcile", "compute"])
def test_size_is_refused_if_the_kind_has_none(telemetry: Telemetry, operation: str) -> None:
    with pytest.raises(TypeError, match=f"{operation} .*'rows'"):
        getattr(telemetry.asset, operation)(size="rows")


def test_fails_when_must_be_callable(telemetry: Telemetry) -> None:
    wrong: Any = 5
    with pytest.raises(TypeError, match=r"fails_when=5 .* a function of the result"):
        telemetry.asset.save(fails_when=wrong)


def test_fails_when_is_refused_for_an_async_generator(telemetry: Telemetry) -> None:
    async def items() -> AsyncGenerator[int, None]:
        yield 1

    with pytest.raises(TypeError, match=r"fails_when.*items is an async generator"):
        telemetry.asset.load(fails_when=lambda result: result is None)(items)


def test_function_together_with_arguments_is_refused(telemetry: Telemetry) -> None:
    """The arguments would be ignored."""
    save: Any = telemetry.asset.save
    for arguments in ({"window": "day"}, {"size": False}, {"ignore": KeyError}):
        with pytest.raises(TypeError, match=r"write asset\.save\(window=\.\.\.\)\(function\)"):
            save(lambda day: None, **arguments)


def test_unknown_keyword_is_refused(telemetry: Telemetry) -> None:
    save: Any = telemetry.asset.save
    with pytest.raises(TypeError, match="windows"):
        save(windows="day")
