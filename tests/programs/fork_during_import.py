"""`fork_during_import.py MODULE`: fork while another thread imports a module; print what the child then records."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec

import otel_kcevents

warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, about forking with threads

inside = threading.Event()
FIRST_USES: dict[str, Callable[[], object]] = {
    "otel_kcevents.record.record_set": lambda: otel_kcevents.allocation,
    "otel_kcevents.sdk.providers": lambda: otel_kcevents.configure(),
}


class SlowFinder:
    """Takes its time to find the module."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        if name == sys.argv[1]:
            inside.set()
            threading.Event().wait(0.5)  # the fork begins meanwhile
        return None


sys.meta_path.insert(0, SlowFinder())
importer = threading.Thread(target=FIRST_USES[sys.argv[1]])
importer.start()
inside.wait()
child = os.fork()
if child == 0:
    signal.alarm(30)  # ends a child that hangs
    FIRST_USES[sys.argv[1]]()
    otel_kcevents.asset.emit("loaded", size=1)
    os.write(1, f"{otel_kcevents.default_log.counts()}\n".encode())
    os._exit(0)
os.waitpid(child, 0)
importer.join()
