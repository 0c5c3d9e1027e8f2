"""`scrub_choice.py METHOD CHOICE DEPTH`: print the message of an error that a process records, as its children do."""

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


def work(method: str, depth: int) -> None:
    if depth:
        context: Any = multiprocessing.get_context(method)
        child = context.Process(target=work, args=(method, depth - 1))
        child.start()
        child.join()
    log = EventLog()
    RecordSet("asset", "AssetSet", log=log).emit("compute_error", error="password=hunter2")
    (event,) = log.document().lists["asset"]
    print(event.failure.message if event.failure else None, flush=True)


if __name__ == "__main__":
    method, choice, depth = sys.argv[1:]
    if choice == "configured":
        configure(service_name="scrub", scrub=hide)
    elif choice in CHOICES:
        set_scrub(CHOICES[choice])
    work(method, int(depth))
