"""Decorated functions look like the undecorated ones, and refuse the same arguments."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import traceback
import typing
import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import suppress
from types import FunctionType
from typing import Any

import pytest
from telemetry import DAY, Telemetry

DEFAULT = object()


def plain(day: Any, /, region: str, *rows: int, limit: Any = DEFAULT, **options: Any) -> list[int]:
    """Load a day."""
    return [day, region, rows, limit, options]


async def coroutine(day: Any, /, region: str, *rows: int, limit: Any = DEFAULT, **options: Any) -> list[Any]:
    return [day, region, rows, limit, options]


def generator(day: Any, /, region: str, *rows: int, limit: Any = DEFAULT, **options: Any) -> Iterator[Any]:
    yield from (day, region, rows, limit, options)


async def agenerator(day: Any, /, region: str, *rows: int, limit: Any = DEFAULT, **options: Any) -> Any:
    for value in (day, region, rows, limit, options):
        yield value


FUNCTIONS: list[Any] = [plain, coroutine, generator, agenerator]
each_shape = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)


def values(called: Any) -> list[Any]:
    """Run a call of any shape to its end."""

    async def collect() -> list[Any]:
        return [item async for item in called] if inspect.isasyncgen(called) else await called

    return asyncio.run(collect()) if inspect.iscoroutine(called) or inspect.isasyncgen(called) else list(called)


# The same functions, reached in every way


class Holder:
    """A class with functions of each kind to decorate."""

    def method(self, window: Any, count: int = 1) -> list[int]:
        """Load a day."""
        return [0] * count

    @classmethod
    def of_class(cls, window: Any, count: int = 1) -> list[int]:
        """Load a day."""
        return [0] * count

    @staticmethod
    def static(window: Any, count: int = 1) -> list[int]:
        """Load a day."""
        return [0] * count


def decorated_class(decorate: Callable[[Any], Any], above: bool) -> Any:
    """Return a class like Holder with the decorator above or below `classmethod` and `staticmethod`."""
    members: dict[str, Any] = {"method": decorate(vars(Holder)["method"])}
    for name, kind in (("of_class", classmethod), ("static", staticmethod)):
        function = vars(Holder)[name].__func__
        members[name] = decorate(kind(function)) if above else kind(decorate(function))
    return type("Holder", (), members)


@pytest.mark.parametrize("above", [True, False], ids=["above", "below"])
@pytest.mark.parametrize("access", ["class", "instance", "subclass", "instance of subclass"])
@pytest.mark.parametrize("name", ["method", "of_class", "static"])
def test_method_looks_like_the_undecorated_one(telemetry: Telemetry, name: str, access: str, above: bool) -> None:
    held = decorated_class(telemetry.asset.load, above)
    owner: Any = held
    original_owner: Any = Holder
    if "subclass" in access:
        owner, original_owner = type("Sub", (held,), {}), type("Sub", (Holder,), {})
    if "instance" in access:
        owner, original_owner = owner(), original_owner()
    method, original = getattr(owner, name), getattr(original_owner, name)
    assert type(method) is type(original)
    assert inspect.getfullargspec(method) == inspect.getfullargspec(original)
    assert inspect.signature(method) == inspect.signature(original)
    for attribute in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__"):
        assert getattr(method, attribute) == getattr(original, attribute)
    arguments = [original_owner] if (name, "instance" in access) == ("method", False) else []
    assert method(*arguments, DAY, count=2) == [0, 0]
    assert telemetry.event.size == 2


@each_shape
def test_function_looks_like_the_undecorated_one(telemetry: Telemetry, function: Any) -> None:
    decorated = telemetry.asset.load(function)
    assert isinstance(decorated, FunctionType)
    assert inspect.getfullargspec(decorated) == inspect.getfullargspec(function)
    assert inspect.signature(decorated, eval_str=True) == inspect.signature(function, eval_str=True)
    assert typing.get_type_hints(decorated) == typing.get_type_hints(function)
    assert inspect.getsource(decorated) == inspect.getsource(function)
    assert inspect.getfile(decorated) == __file__
    assert (decorated.__kwdefaults__ or {})["limit"] is DEFAULT
    assert decorated.__globals__ is function.__globals__
    assert inspect.getclosurevars(decorated).unbound <= {"send", "throw", "asend", "athrow", "pop", "value"}


@pytest.mark.parametrize(
    "function",
    [
        lambda: [1],
        lambda window=DAY: [1],
        lambda window, /, count=1: [1],
        lambda *, window=DAY, count: [1],
        lambda *_kcevents_inner, **_kcevents_run: [1],
        lambda _kcevents_inner, inner, function: [1],
    ],
)
def test_parameters_are_those_of_the_function(telemetry: Telemetry, function: Any) -> None:
    """With parameters of any kind and name."""
    decorated = telemetry.asset.load(function)
    assert inspect.getfullargspec(decorated) == inspect.getfullargspec(function)
    code, original = decorated.__code__, function.__code__
    count = original.co_argcount + original.co_kwonlyargcount
    assert code.co_varnames[:count] == original.co_varnames[:count]


def test_function_with_unusual_parameters_records(telemetry: Telemetry) -> None:
    """Their names are not identifiers; generated code can have such names."""

    def load(window: Any) -> list[int]:
        return [1]

    load.__code__ = load.__code__.replace(co_varnames=("from",))
    assert telemetry.asset.load(load)(DAY) == [1]
    assert telemetry.event.size == 1


@each_shape
def test_arguments_and_defaults_are_passed_on(telemetry: Telemetry, function: Any) -> None:
    options = {"self": 1, "day": 2, "function": 3, "args": 4, "recorder": 5}
    called = telemetry.asset.load(function)(DAY, "eu", 1, 2, **options)
    assert values(called) == [DAY, "eu", (1, 2), DEFAULT, options]


# Arguments that do not fit

CALLABLES: dict[str, Callable[[Any], Any]] = {
    "function": lambda function: function,
    "partial": lambda function: functools.partial(function, limit=1),
    "method": lambda function: type("Loader", (), {"run": function})().run,
    "object": lambda function: type("Loader", (), {"__call__": function})(),
    "object with a static call": lambda function: type("Loader", (), {"__call__": staticmethod(function)})(),
}


@each_shape
@pytest.mark.parametrize("make", CALLABLES.values(), ids=CALLABLES)
def test_wrong_arguments_raise_at_the_call(telemetry: Telemetry, function: Any, make: Callable[[Any], Any]) -> None:
    """Nothing ran, so nothing is recorded."""
    decorated, undecorated = telemetry.asset.load(make(function)), make(function)
    with pytest.raises(TypeError) as expected:
        undecorated()
    with pytest.raises(TypeError) as raised:
        decorated()
    assert str(raised.value) == str(expected.value)
    assert (telemetry.events, telemetry.spans) == ([], [])


@each_shape
def test_unused_coroutine_or_generator_records_nothing(telemetry: Telemetry, function: Any) -> None:
    called = telemetry.asset.load(function)(DAY, "eu")
    if function is plain:
        return
    if function is coroutine:
        called.close()
    del called
    gc.collect()
    assert (telemetry.events, telemetry.spans) == ([], [])


# Details


def test_decorator_in_between_gets_the_callers_arguments(telemetry: Telemetry) -> None:
    """It reports the signature of the function, but takes other arguments."""

    def with_connection(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function("connection", *args, **kwargs)

        return wrapper

    @telemetry.asset.total
    @with_connection
    def total(connection: str, day: str, *, strict: bool = False) -> list[Any]:
        return [connection, day, strict]

    assert total("monday", strict=True) == ["connection", "monday", True]


def test_traceback_names_the_place_of_the_decorator(telemetry: Telemetry) -> None:
    @telemetry.asset.load
    def load(window: Any) -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone") as raised:
        load(DAY)
    frames = traceback.extract_tb(raised.value.__traceback__)
    assert [frame.name for frame in frames][-3:] == ["record_load", "wrapper", "load"]
    assert (frames[-3].filename, frames[-3].line) == (__file__, "@telemetry.asset.load")


@pytest.mark.parametrize("is_async", [False, True], ids=["generator", "async generator"])
def test_waiting_generator_keeps_no_item_alive(telemetry: Telemetry, is_async: bool) -> None:
    """A batch can be freed before the next one is made."""

    class Batch:
        pass

    def batches() -> Iterator[Batch]:
        for _ in range(3):
            yield Batch()

    async def abatches() -> AsyncGenerator[Batch, None]:
        for _ in range(3):
            yield Batch()

    generator: Any = telemetry.asset.load(abatches if is_async else batches)()

    def next_item() -> Any:
        if not is_async:
            return next(generator)
        try:
            generator.asend(None).send(None)
        except StopIteration as stop:
            return stop.value

    alive = weakref.ref(next_item())
    assert alive() is None


def test_error_after_a_caught_one_has_no_context(telemetry: Telemetry) -> None:
    """As in the undecorated function, which has handled the thrown error."""

    @telemetry.asset.load
    def rows() -> Generator[int, None, None]:
        with suppress(KeyError):
            yield 1
        raise OSError("gone")

    running = rows()
    next(running)
    with pytest.raises(OSError, match="gone") as raised:
        running.throw(KeyError("thrown"))
    assert raised.value.__context__ is None
