"""Prints whether another process holds SQLite's shared lock on a database: `held` or `free`."""

from __future__ import annotations

import fcntl
import sys

with open(sys.argv[1], "r+b") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)  # the bytes of shared locks
        print("free")
    except OSError:
        print("held")
