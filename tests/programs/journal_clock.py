"""Print the sizes in a journal whose program sets its clock back twice: argument PATH."""

from __future__ import annotations

import sys
import time

HOUR = 3_600 * 10**9
real, ahead = time.time_ns, 3 * HOUR
time.time_ns = lambda: real() + ahead  # before the package imports it

from otel_kcevents import EventLog, Journal, RecordSet  # noqa: E402

log, journal = EventLog(), Journal(sys.argv[1])
log.attach(journal)
asset = RecordSet("asset", "AssetSet", log=log)
for hours in (3, 2, 1):
    ahead = hours * HOUR
    asset.emit("saved", size=10 * hours)
    asset.emit("loaded", size=10 * hours + 1)
print([event.size for event in journal.document().lists["asset"]])
