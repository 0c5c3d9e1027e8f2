"""`crash.py NAME [FOLDER]`: run one of the functions below, with reports of crashes in a folder if one is given."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import threading
import warnings
from contextlib import suppress

from otel_kcevents import RecordSet, asset, configure


def crash() -> None:
    asset.emit("saved", size=1)
    try:
        raise KeyError("password=sesame-5")
    except KeyError as error:
        raise RuntimeError("cannot save") from error


def crash_with_own_hook() -> None:
    """In another folder."""
    os.chdir("/")
    sys.excepthook = lambda kind, error, trace: print("own hook:", error)
    crash()


def crash_with_secret_kind() -> None:
    RecordSet("cloud", "Sesame5Set").emit("saved")
    crash()


def crash_without_the_folder() -> None:
    os.rmdir(sys.argv[2])
    crash()


def crash_in_fork() -> None:
    child = os.fork()
    if not child:
        crash()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def crash_in_thread() -> None:
    thread = threading.Thread(target=crash)
    thread.start()
    thread.join()


def crash_in_child() -> None:
    child = multiprocessing.get_context("fork").Process(target=crash)
    child.start()
    child.join()
    print(child.exitcode)


def end() -> None:
    with suppress(RuntimeError):
        crash()


def exit_with_3() -> None:
    sys.exit(3)


def interrupt() -> None:
    raise KeyboardInterrupt


def configure_later() -> None:
    """The last folder counts, and there is one report."""
    configure(report_on_crash=f"{sys.argv[2]}/later")
    crash()


def crash_without_folder() -> None:
    configure(report_on_crash=f"{sys.argv[2]}/missing")
    crash()


def configure_with_a_number() -> None:
    try:
        configure(report_on_crash=3)  # type: ignore[arg-type]
    except TypeError as error:
        print(error)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    logging.basicConfig(format="%(name)s: %(message)s")
    configure(report_on_crash=sys.argv[2] if len(sys.argv) > 2 else None)
    globals()[sys.argv[1]]()
