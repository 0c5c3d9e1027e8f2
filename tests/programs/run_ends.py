"""Run functions, each of which ends a run in its own way.

`run_ends.py NAME` runs one of them, with the journal that the environment names. `run_ends.py all FOLDER NAME...` runs
each in a child that it forks, with the journal `FOLDER/NAME.db`, and prints how the children end; that is faster.
"""

from __future__ import annotations

import atexit
import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from otel_kcevents import Journal, allocation, configure, default_log, flush, run


def save() -> None:
    allocation.emit("saved", size=1)


def returns() -> None:
    save()


def raises() -> None:
    save()
    raise KeyError("x")


def raises_with_secret() -> None:
    raise ValueError("cannot open postgres://etl:hunter2@db/costs")


def interrupted() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)


def exits_with_3() -> None:
    sys.exit(3)


def exits_with_3_in_block() -> None:
    with run("nightly"):
        sys.exit(3)


def exits_with_message_in_block() -> None:
    with run("nightly"):
        sys.exit("no bill, password=hunter2")


def exits_with_0_in_block() -> None:
    with run("nightly"):
        sys.exit(0)


def raises_in_thread() -> None:
    """Only the thread ends."""
    threading.excepthook = lambda _: None
    thread = threading.Thread(target=raises)
    thread.start()
    thread.join()


def caught_outside_block() -> None:
    with suppress(ValueError), run("nightly"):
        raise ValueError("no bill")


def second_block_succeeds() -> None:
    caught_outside_block()
    with run("nightly"):
        save()


def nested_block_fails() -> None:
    with run("nightly"), suppress(ValueError), run("bills"):
        raise ValueError("no bill")


def fails_later_than_block() -> None:
    caught_outside_block()
    raise KeyError("x")


def killed() -> None:
    save()
    os.kill(os.getpid(), signal.SIGKILL)


def killed_after_failed_block() -> None:
    caught_outside_block()
    killed()


def terminated() -> None:
    save()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)


def terminated_configured() -> None:
    configure()
    terminated()


def aborts() -> None:
    save()
    os.abort()


def exits_at_once() -> None:
    save()
    os._exit(0)


def exits_after_flush() -> None:
    save()
    flush()
    os._exit(0)


def records_after_flush() -> None:
    save()
    flush()
    exits_at_once()


def records_at_exit() -> None:
    """`atexit` calls the handlers in reverse order, so this one comes after the journal's."""


def leaves_child() -> None:
    """A child that is forked without Python's hooks keeps all descriptors, and lives until it is terminated."""
    save()
    child = ctypes.PyDLL(None).fork()
    if not child:
        while True:
            time.sleep(60)
    print(child, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def waits() -> None:
    save()
    print(flush=True)
    sys.stdin.read()


def work(number: int) -> None:
    save()
    if number == 1:
        raise KeyError("x")
    if number == 2:
        sys.exit(4)
    if number == 3:
        os._exit(0)


def starts_processes() -> None:
    context: Any = multiprocessing.get_context(sys.argv[2])
    processes = [context.Process(target=work, args=(number,), name=f"part {number}") for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def starts_program() -> None:
    subprocess.run([sys.executable, __file__, "raises"], check=False)


def leaves_block_in_child() -> None:
    """A forked child leaves the block of its parent by an exception."""
    with run("nightly"):
        child = os.fork()
        if not child:
            sys.exit(4)
        os.waitpid(child, 0)


def names_child() -> None:
    """A forked child has a block of its own inside the block of its parent."""
    with run("nightly"):
        child = os.fork()
        if not child:
            with run("part"):
                save()
            os._exit(0)
        os.waitpid(child, 0)


def child_of(folder: str, names: list[str]) -> str | None:
    """Fork a child for each function, and return its name in the child; return None in the parent."""
    for name in names:
        if not os.fork():
            os.environ["OTEL_PYTHON_KCEVENTS_LOG_FILE"] = f"{folder}/{name}.db"
            return name
        print(name, os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
    return None


name = sys.argv[1] if __name__ == "__main__" else None
if name == "all":
    name = child_of(sys.argv[2], sys.argv[3:])
    if name is None:
        sys.exit()
if name == "records_at_exit":
    atexit.register(save)  # before the journal's handler

default_log.attach(Journal(os.environ["OTEL_PYTHON_KCEVENTS_LOG_FILE"]))

if name is not None:
    globals()[name]()
