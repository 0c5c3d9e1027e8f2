"""`lock_file.py FILE`: hold both locks of a side file, and print who else sees them held: children, and after these."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

from otel_kcevents.store.lock_file import LockFile, lock_file

path = sys.argv[1]
own, RUN, OTHER_RUN = lock_file(path), "ab" * 8, "cd" * 8
assert own.acquire(0)
own.hold(RUN)
assert not own.is_held(RUN)
assert not own.is_held(OTHER_RUN)


def is_locked() -> bool:
    other = LockFile(path)
    try:
        return not other.acquire(0)
    finally:
        other.close()


def in_child(question: Callable[[], bool]) -> bool:
    child = os.fork()
    if not child:
        os._exit(question())
    return bool(os.waitpid(child, 0)[1])


def is_locked_after_release() -> bool:
    own.release()  # a child has its own descriptor, or none
    return is_locked()


def can_hold_other_run() -> bool:
    own.hold(OTHER_RUN)  # fails if the parent has kept the lock after it asked
    return True


# A process that closes any descriptor of the file loses its locks for runs, so only children open it another time.
seen = {
    "in a child": in_child(is_locked),
    "run, in a child": in_child(lambda: own.is_held(RUN)),
    "other run, by a child": in_child(can_hold_other_run),
    "in a child that releases it": in_child(is_locked_after_release),
}
subprocess.run([sys.executable, "-c", "pass"], check=True)
subprocess.run([sys.executable, "-c", "pass"], check=True, preexec_fn=lambda: None)  # with the fork hooks
seen["after the children"] = in_child(is_locked)
own.release()
seen["after its release"] = in_child(is_locked)
seen["run, after the release"] = in_child(lambda: own.is_held(RUN))
print(json.dumps(seen))
