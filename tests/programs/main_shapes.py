"""A main module that calls each of its functions as soon as it is defined, and prints which calls were recorded."""

# mypy: allow-untyped-defs, allow-untyped-calls

import asyncio
import contextlib
import functools
import json
from collections.abc import Callable

import click

from otel_kcevents import default_log

RECORDED: dict[str, int] = {}


def events() -> int:
    return sum(default_log.counts().values())


def check(name, call, *args):
    before = events()
    call(*args)
    RECORDED[name] = events() - before


def save_plain(rows):
    """A function."""


check("plain", save_plain, [1])


def traced(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)

    return wrapper


def option(*_, **__):
    return traced


@traced
@option(
    "rows",
    required=True,
)
def save_decorated(
    rows,
):
    """A decorated function, on several lines."""


check("decorated", save_decorated, [1])


class SaveClass:
    def method(self, rows):
        return rows

    @classmethod
    def of_class(cls, rows):
        return rows

    @staticmethod
    def static(rows):
        return rows

    class Inner:
        def method(self, rows):
            return rows

    unrecorded = static([1])


check("method", SaveClass().method, [1])
check("class method", SaveClass.of_class, [1])
check("static method", SaveClass.static, [1])
check("method of an inner class", SaveClass.Inner().method, [1])

if RECORDED:

    def save_if(rows):
        pass

    check("if", save_if, [1])
else:

    def save_if(rows):
        raise AssertionError


try:
    import a_module_that_is_missing  # type: ignore[import-not-found]  # noqa: F401
except ImportError:

    def save_handler(rows):
        pass

    check("exception handler", save_handler, [1])

with contextlib.suppress(ValueError):

    def save_with(rows):
        pass

    check("with", save_with, [1])
    raise ValueError

for number in range(3):
    if number:
        check(f"loop, redefined {number}", save_loop, [1])  # noqa: F821

    def save_loop(rows):
        pass


try:
    raise KeyError
except KeyError:
    pass
finally:

    def save_finally(rows):
        pass


check("finally", save_finally, [1])


async def save_coroutine(rows):
    pass


check("coroutine", lambda: asyncio.run(save_coroutine([1])))


def save_generator(rows):
    yield from rows


check("generator", lambda: list(save_generator([1])))


REGISTRY: list[Callable[..., object]] = []


@REGISTRY.append
def save_registered(rows):
    pass


check("registered, without a name", REGISTRY[0], [1])


@click.command()
def save_command():
    pass


check("command of click", lambda: save_command.main([], standalone_mode=False))


def helper(rows):
    return save_later(rows)


def save_later(rows):
    return rows


check("called by an earlier function", helper, [1])

if __name__ == "__main__":

    def save_in_main(rows):
        pass

    check("below if __name__", save_in_main, [1])
    print(json.dumps(RECORDED))
