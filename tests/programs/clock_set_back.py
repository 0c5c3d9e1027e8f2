"""Print the sizes in the log of a program whose clock is set back, and set back again."""

from __future__ import annotations

import time

HOUR = 3_600 * 10**9
real, ahead = time.time_ns, 3 * HOUR
time.time_ns = lambda: real() + ahead  # before the package imports it

from otel_kcevents import EventLog, RecordSet, Window  # noqa: E402


def recorded(window: Window | None = None, limit: int = 256) -> list[int | None]:
    return [event.size for event in log.document(window=window, limit=limit).lists["asset"]]


log = EventLog()
asset = RecordSet("asset", "AssetSet", log=log)
asset.emit("saved", size=1)
asset.emit("loaded", size=2)
before = time.time_ns()
for size, hours in ((3, 2), (5, 1)):
    ahead = hours * HOUR
    asset.emit("saved", size=size)
    asset.emit("loaded", size=size + 1)
print(recorded())
print(recorded(limit=1))
print(recorded(Window.from_ns(before - HOUR // 2, before + 1)))
asset.emit("saved", size=0, time=real() - HOUR)  # long ago, and recorded only now
print(recorded())
for _ in range(100):
    ahead -= 1
    asset.emit("totaled")
asset.emit("saved", size=7)
print(log.document().lists["asset"][0].size, len({event.time for event in log.document().lists["asset"]}))
newest = {event.kind: event.time for event in reversed(log.document().lists["asset"])}
print({totals.kind: totals.last_event for totals in log.totals()} == newest)
