"""Fork five times while threads and tasks record; each process checks its own counts."""

from __future__ import annotations

import asyncio
import os
import threading
import warnings
from collections.abc import Iterator

from otel_kcevents import allocation, asset, default_log

warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, about forking with threads


@asset.save
def save(rows: list[int]) -> None: ...


@asset.load
async def load() -> list[int]:
    await asyncio.sleep(0)
    return [1]


@allocation.load
def rows() -> Iterator[int]:
    yield from range(3)


def work_in_thread() -> None:
    for _ in range(500):
        save([1])
        list(rows())


async def work_in_tasks() -> None:
    await asyncio.gather(*(load() for _ in range(500)))


def work_in_child() -> bool:
    for _ in range(100):
        save([1])
    asyncio.run(work_in_tasks())
    return default_log.counts() == {"AssetSetLoaded": 500, "AssetSetSaved": 100}


threads = [threading.Thread(target=work_in_thread) for _ in range(4)]
for thread in threads:
    thread.start()
children = []
for _ in range(5):
    child = os.fork()
    if not child:
        os._exit(0 if work_in_child() else 1)
    children.append(child)
asyncio.run(work_in_tasks())
for thread in threads:
    thread.join()
print([os.waitpid(child, 0)[1] for child in children])
print(default_log.counts())
