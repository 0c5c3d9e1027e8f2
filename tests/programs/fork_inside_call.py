"""Fork inside a decorated call; print the log's counts of parent and child."""

from __future__ import annotations

import os

from otel_kcevents import asset, default_log


@asset.save
def save(rows: list[int]) -> int:
    return os.fork()


child = save([1])
if child:
    os.waitpid(child, 0)
print("parent" if child else "child", default_log.counts(), flush=True)
