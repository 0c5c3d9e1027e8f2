"""Prints who owns the file descriptor that Python reports signals on: the program, this package or nobody."""

from __future__ import annotations

import os
import signal
import sys

from otel_kcevents.sdk.missed_signal import resend_missed_sigterm


def owner() -> str:
    """Return the owner of the file descriptor, which stays as it is."""
    current = signal.set_wakeup_fd(-1)
    if current != -1:
        signal.set_wakeup_fd(current, warn_on_full_buffer=False)
    return "nobody" if current == -1 else "the program" if current == own else "the package"


if __name__ == "__main__":
    reader, own = os.pipe()
    os.set_blocking(own, False)
    resend_missed_sigterm()
    print("default handler:", owner())
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.set_wakeup_fd(own)
    resend_missed_sigterm()
    print("set by the program:", owner())
    signal.set_wakeup_fd(-1)
    resend_missed_sigterm()
    print("not set:", owner())
    sys.stdout.flush()
    if os.fork() == 0:
        print("forked child:", owner())
        sys.exit()
    os.wait()
    signal.set_wakeup_fd(own)
    if os.fork() == 0:
        print("forked child of a program that has set it since:", owner())
        sys.exit()
    os.wait()
