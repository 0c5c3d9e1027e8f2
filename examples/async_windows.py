"""Process hours concurrently: decorated coroutines and an async generator under `asyncio.gather`.

Each call has its own window and span. The hour that takes too long is cancelled, which counts as a failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone

from otel_kcevents import Window, allocation, asset, configure, default_log

DAY = datetime(2025, 3, 1, tzinfo=timezone.utc)
HOURS = [Window(DAY + timedelta(hours=n), DAY + timedelta(hours=n + 1)) for n in range(6)]
SLOW = HOURS[4]


@allocation.load
async def load_allocations(window: Window) -> list[str]:
    await asyncio.sleep(60 if window == SLOW else 0.01)
    return ["shop", "batch", "reports"]


@asset.load  # the size is the number of items that it yields
async def stream_assets(window: Window) -> AsyncIterator[str]:
    for number in range(2 + HOURS.index(window)):
        await asyncio.sleep(0)
        yield f"vm-{number}"


@allocation.save
async def save_allocations(allocations: list[str], window: Window) -> None:
    await asyncio.sleep(0)


async def run_hour(window: Window) -> int:
    allocations = await asyncio.wait_for(load_allocations(window), timeout=1)
    await save_allocations(allocations, window)
    return len([resource async for resource in stream_assets(window)])


async def main() -> None:
    results = await asyncio.gather(*map(run_hour, HOURS), return_exceptions=True)
    for window, result in zip(HOURS, results, strict=True):
        print(f"{window.start:%H:%M}  {repr(result) if isinstance(result, BaseException) else f'{result} assets'}")
    for kind, count in default_log.counts().items():
        print(f"{kind:<30}{count:>3}")


if __name__ == "__main__":
    configure(service_name="async-windows")
    asyncio.run(main())
