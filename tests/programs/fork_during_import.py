"""Fork while another thread imports a public name for the first time; print what the child records with it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec

import otel_kcevents

warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, about forking with threads

inside = threading.Event()


class SlowFinder:
    """Takes its time to find a module that the import of a decorator needs."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        if name == "otel_kcevents.record.record_set":
            inside.set()
            threading.Event().wait(0.5)  # the fork begins meanwhile
        return None


sys.meta_path.insert(0, SlowFinder())
importer = threading.Thread(target=lambda: otel_kcevents.allocation)
importer.start()
inside.wait()
child = os.fork()
if child == 0:
    signal.alarm(30)  # ends a child that hangs
    otel_kcevents.asset.emit("loaded", size=1)
    os.write(1, f"{otel_kcevents.default_log.counts()}\n".encode())
    os._exit(0)
os.waitpid(child, 0)
importer.join()
