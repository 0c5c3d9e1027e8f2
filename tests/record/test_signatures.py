"""`otel_kcevents.record.signatures`: the arguments of a function under a decorator that hides its signature."""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from telemetry import DAY, Telemetry, Warned

from otel_kcevents.model.window import Window

Function = Callable[..., Any]

OTHER = Window("2024-09-18T22:00:00Z", "2024-09-18T23:00:00Z")
ROWS = ["cpu", "ram", "gpu"]


def with_connection(function: Function) -> Function:
    """Pass an additional argument."""

    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return function("connection", *args, **kwargs)

    return inner


def with_user(function: Function) -> Function:
    """Drop an argument."""

    @functools.wraps(function)
    def inner(user: Any, *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return inner


def as_method(function: Function) -> Function:
    """Pass on all arguments, with an explicit `self`."""

    @functools.wraps(function)
    def inner(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    return inner


def passes_on(function: Function) -> Function:
    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        for _ in range(3):
            with contextlib.suppress(TimeoutError):
                return function(*args, **kwargs)

    return inner


def logs(function: Function) -> Function:
    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        name = f"{function.__module__}.{function.__qualname__}"
        result = function(*args, **kwargs)
        logging.getLogger(name).debug("%s took %d arguments", function.__name__, len(args))
        return result

    return inner


def adds_by_name(function: Function) -> Function:
    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        if "session" in kwargs:
            return function(*args, **kwargs)
        return function(*args, session="session", **kwargs)

    return inner


def sets_by_name(function: Function) -> Function:
    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        kwargs["window"] = kwargs.get("window", OTHER)
        return function(*args, **kwargs)

    return inner


def hands_over_one_by_one(function: Function) -> Function:
    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return function(args[0], *args[1:], **kwargs)

    return inner


def drops_keywords(function: Function) -> Function:
    @functools.wraps(function)
    def inner(*args: Any) -> Any:
        return function(*args[:1])

    return inner


def retries(function: Function) -> Function:
    """Pass on all arguments, through a nested function."""

    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return (lambda: function(*args, **kwargs))()

    return inner


def replaces(function: Function) -> Function:
    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        args = ("connection", *args)
        return function(*args, **kwargs)

    return inner


def calls_otherwise(function: Function) -> Function:
    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        if "rows" not in kwargs:
            return function("connection", args[0])
        return function(*args, **kwargs)

    return inner


def has_an_empty_cell(function: Function) -> Function:
    later: str

    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        with contextlib.suppress(NameError):
            args = (later, *args)
        return function("connection", *args, **kwargs)

    if function is retries:
        later = "later"
    return inner


def reports_other(function: Function) -> Function:
    """Report the signature of the function inside without `__wrapped__`."""

    def inner(*args: Any, **kwargs: Any) -> Any:
        return function("connection", *args, **kwargs)

    inner.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return inner


@contextlib.contextmanager
def timed() -> Iterator[None]:
    yield


def opens(function: Function) -> Function:
    """Pass an additional argument, with other parameters than the function."""

    @functools.wraps(function)
    def inner(window: Any, rows: Any = (), **options: Any) -> Any:
        return function("connection", window, rows, **options)

    return inner


class Injecting:
    """A callable object that passes an additional argument."""

    def __init__(self, function: Function) -> None:
        functools.update_wrapper(self, function)
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function("connection", *args, **kwargs)


class Decorated:
    """An object whose `__call__` is decorated."""

    @retries
    def __call__(self, window: Any, rows: Any, extra: Any = DAY) -> Any:
        return rows


def late(connection: Any, window: Any, rows: Any) -> Any:
    return rows


def optional(connection: Any, window: Any, rows: Any = ()) -> Any:
    return rows


def of_any(connection: Any, window: Any, *rows: Any) -> Any:
    return list(rows)


def plain(window: Any, rows: Any = ()) -> Any:
    return rows


def with_session(window: Any, rows: Any, limit: Any = None, *, session: Any = None) -> Any:
    return rows


def of_self(self: Any, window: Any, rows: Any) -> Any:
    return rows


def keyword_only(rows: Any, *, window: Any = DAY) -> Any:
    return rows


@pytest.mark.parametrize("hide", [with_connection, reports_other, Injecting, replaces, has_an_empty_cell])
@pytest.mark.parametrize(
    ("function", "args"),
    [(late, (OTHER, ROWS)), (optional, (OTHER,)), (optional, (OTHER, ROWS)), (of_any, (OTHER, DAY)), (plain, (ROWS,))],
)
def test_position_behind_a_decorator_is_not_guessed(
    telemetry: Telemetry, warned: Warned, hide: Any, function: Function, args: Any
) -> None:
    """The window and the size are omitted, with one warning each."""
    save = telemetry.asset.save(hide(function))
    for _ in range(2):
        save(*args)
    assert {(event.window, event.size) for event in telemetry.events} == {(None, None)}
    assert ["decorator in between" in warning for warning in warned()] == [True, True]


@pytest.mark.parametrize(
    ("function", "args"), [(plain, ("ann", OTHER, ROWS)), (plain, ("ann", OTHER)), (keyword_only, ("ann", ROWS))]
)
def test_position_behind_a_dropped_argument_is_not_guessed(
    telemetry: Telemetry, warned: Warned, function: Function, args: Any
) -> None:
    telemetry.asset.save(with_user(function))(*args)
    assert (telemetry.event.window, telemetry.event.size, len(warned())) == (None, None, 2)


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [
        (passes_on(plain), (OTHER, ROWS), {}),
        (logs(plain), (OTHER, ROWS), {}),
        (passes_on(late), ("connection", OTHER, ROWS), {}),
        (passes_on(optional), ("connection", OTHER), {"rows": ROWS}),
        (adds_by_name(with_session), (OTHER, ROWS), {}),
        (adds_by_name(with_session), (OTHER, ROWS, 5), {"session": "session"}),
        (hands_over_one_by_one(plain), (OTHER, ROWS), {}),
        (retries(plain), (OTHER, ROWS), {}),
        (retries(plain), (OTHER,), {"rows": ROWS}),
        (passes_on(plain), (), {"window": OTHER, "rows": ROWS}),
        (as_method(of_self), ("self", OTHER, ROWS), {}),
        (as_method(of_self), ("self", OTHER), {"rows": ROWS}),
        (Decorated(), (OTHER, ROWS, None), {}),
        (functools.lru_cache(plain), (OTHER, tuple(ROWS)), {}),
        (opens(late), (OTHER, ROWS), {}),
        (opens(late), (OTHER,), {"rows": ROWS}),
        (timed()(plain), (OTHER, ROWS), {}),
        (timed()(plain), (OTHER,), {"rows": ROWS}),
    ],
)
def test_certain_arguments_are_read(
    telemetry: Telemetry, warned: Warned, function: Function, args: Any, kwargs: Any
) -> None:
    """If all positional arguments are passed, none can have been added; keywords are certain in any case."""
    telemetry.asset.save(function)(*args, **kwargs)
    assert (telemetry.event.window, telemetry.event.size, warned()) == (OTHER, 3, [])


def test_updated_partial_hides_its_arguments(telemetry: Telemetry, warned: Warned) -> None:
    """`update_wrapper` makes a partial report the parameters of its function."""
    inside = functools.update_wrapper(functools.partial(optional, "connection"), optional)
    telemetry.asset.save(functools.lru_cache(inside))(OTHER)
    assert (telemetry.event.window, len(warned())) == (None, 2)


@pytest.mark.parametrize("window", [lambda call: call.arguments["window"], "window"])
def test_keywords_behind_a_decorator_are_read(telemetry: Telemetry, warned: Warned, window: Any) -> None:
    """Their defaults are not read, because the decorator may pass another value."""
    total = telemetry.asset.total(window=window)(with_connection(lambda connection, *, window=DAY: None))
    total(window=OTHER)
    total()
    assert [event.window for event in telemetry.events] == [OTHER, None]
    assert len(warned()) == 1


def test_default_behind_a_decorator_is_not_read(telemetry: Telemetry, warned: Warned) -> None:
    telemetry.asset.save(retries(keyword_only))(ROWS)
    assert (telemetry.event.window, telemetry.event.size) == (None, 3)
    assert "pass it by keyword" in warned()[0]


@pytest.mark.parametrize("hide", [passes_on, as_method, logs])
def test_default_behind_a_transparent_wrapper_is_read(telemetry: Telemetry, warned: Warned, hide: Any) -> None:
    telemetry.asset.load(hide(lambda self, window=DAY, **options: ROWS))("self")
    assert (telemetry.event.window, warned()) == (DAY, [])


def test_wrapper_with_another_call_hides_arguments(telemetry: Telemetry, warned: Warned) -> None:
    telemetry.asset.save(calls_otherwise(optional))(OTHER)
    assert (telemetry.event.window, len(warned())) == (None, 2)


@pytest.mark.parametrize("add", [sets_by_name, drops_keywords])
def test_default_that_a_wrapper_may_replace_is_not_read(telemetry: Telemetry, warned: Warned, add: Any) -> None:
    """The arguments that are passed are read."""
    telemetry.asset.save(add(lambda rows, window=DAY: None))(ROWS)
    assert (telemetry.event.window, len(warned())) == (None, 1 if add is sets_by_name else 2)


def test_function_of_the_call_gets_certain_arguments(telemetry: Telemetry) -> None:
    """It gets no defaults, because a wrapper may replace them."""
    seen: list[Any] = []
    total = telemetry.asset.total(window=lambda call: seen.append(call.arguments))
    total(adds_by_name(with_session))(OTHER, rows=ROWS)
    assert seen == [{"window": OTHER, "rows": ROWS}]


def test_proxy_of_a_function_hides_its_arguments(telemetry: Telemetry, warned: Warned) -> None:
    wrapt = pytest.importorskip("wrapt")

    @wrapt.decorator  # type: ignore[untyped-decorator]
    def connects(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        return wrapped("connection", *args, **kwargs)

    save = telemetry.asset.save(connects(optional))
    assert save(OTHER) == ()
    assert (telemetry.event.window, telemetry.event.size, len(warned())) == (None, None, 2)
