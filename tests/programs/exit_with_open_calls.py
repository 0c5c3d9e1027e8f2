"""Exit while generators, coroutines and `with` blocks are open, some with an invalid window.

The argument `sdk` sets a tracer provider.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import ExitStack, suppress
from typing import Any

from opentelemetry import trace

from otel_kcevents import asset

if "sdk" in sys.argv:
    from opentelemetry.sdk.trace import TracerProvider

    trace.set_tracer_provider(TracerProvider())


class Pause:
    def __await__(self) -> Generator[None, None, None]:
        yield


@asset.load(window=lambda call: call.arguments["window"])  # read at the end of the call
def rows(window: str) -> Iterator[int]:
    yield from range(9)


@asset.load
async def async_rows() -> AsyncGenerator[int, None]:
    for number in range(9):
        yield number


@asset.load
async def load() -> None:
    await Pause()


def block() -> Iterator[None]:
    with asset.save():
        yield


async def async_block() -> None:
    with asset.save():
        await Pause()


generators: list[Iterator[Any]] = [rows("someday"), block()]
for generator in generators:
    next(generator)

async_generator = async_rows()
with suppress(StopIteration):
    async_generator.asend(None).send(None)

coroutines = [load(), async_block()]
for coroutine in coroutines:
    coroutine.send(None)

stack = ExitStack()
stack.enter_context(asset.save())
asset.save().__enter__()

cycle: list[Any] = [rows("someday")]
cycle.append(cycle)
next(cycle[0])
print("end")
