"""`scrub_choice.py METHODS CHOICE`: print the message of an error that a process and its children record.

The methods, separated by commas, start a child, a child of that, and so on.
"""

from __future__ import annotations

import multiprocessing
import sys
from typing import Any

from otel_kcevents import EventLog, RecordSet, configure, set_scrub


def hide(message: str) -> str:
    return f"hidden: {message}"


def removed(message: str) -> str:
    return message


CHOICES: dict[str, Any] = {"named": hide, "off": False, "lambda": lambda message: "hidden", "missing": removed}

if __name__ != "__main__":
    del removed


def work(methods: list[str]) -> None:
    if methods:
        context: Any = multiprocessing.get_context(methods[0])
        child = context.Process(target=work, args=(methods[1:],))
        child.start()
        child.join()
    log = EventLog()
    RecordSet("asset", "AssetSet", log=log).emit("compute_error", error="password=hunter2")
    (event,) = log.document().lists["asset"]
    print(event.failure.message if event.failure else None, flush=True)


if __name__ == "__main__":
    methods, choice = sys.argv[1].split(","), sys.argv[2]
    if "forkserver" in methods:
        multiprocessing.set_forkserver_preload(["otel_kcevents.record.record_set"])
    if choice == "configured":
        configure(service_name="scrub", scrub=hide)
    elif choice in CHOICES:
        set_scrub(CHOICES[choice])
    work(methods)
