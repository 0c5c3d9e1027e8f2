"""Forks inside a capture. Prints what the child captures, what its log has after the capture, and the parent's."""

import os
import sys

from otel_kcevents import asset, default_log
from otel_kcevents.testing import capture

asset.emit("saved", size=1)
with capture() as outer:
    asset.emit("saved", size=2)
    with capture() as inner:
        asset.emit("saved", size=3)
        pid = os.fork()
        if not pid:
            inner.clear()
            asset.emit("loaded", size=4)
            print(len(inner.events), "in the child")
    if not pid:
        assert default_log.counts() == {}
if not pid:
    print(default_log.counts(), "after its end")
    sys.stdout.flush()
    os._exit(0)
os.waitpid(pid, 0)
assert [event.size for event in outer.events] == [2]
print(len(inner.events), "in the parent")
assert default_log.counts() == {"AssetSetSaved": 1}
