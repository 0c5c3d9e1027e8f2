"""A program whose operating system refuses something to its journal: prints what became of its events.

Arguments: the fault, and whether the journal is `opened` before it or is `new`.

The folder of the journal is a new one, which belongs to the user of the program: not root, who may do everything.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import logging
import mmap
import os
import resource
import struct
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from errno import ENODEV, ENOLCK
from pathlib import Path

from troubled import TroubledProgram

NOBODY = 65534
FLOCK, MMAP, FCNTL = 73, 9, 72  # system calls on x86-64


@contextmanager
def limited(kind: int, limit: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


def file_size_limit(path: Path) -> AbstractContextManager[None]:
    """A file cannot grow, as on a full disk."""
    return limited(resource.RLIMIT_FSIZE, os.stat(f"{path}-wal").st_size if path.exists() else 0)


@contextmanager
def no_descriptors(path: Path) -> Iterator[None]:
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    with limited(resource.RLIMIT_NOFILE, free):
        yield


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    mode = path.stat().st_mode
    path.chmod(0o555 if path.is_dir() else 0o444)
    yield
    path.chmod(mode)


def read_only_file(path: Path) -> AbstractContextManager[None]:
    path.touch()
    return read_only(path)


def read_only_folder(path: Path) -> AbstractContextManager[None]:
    return read_only(path.parent)


@contextmanager
def no_threads(path: Path) -> Iterator[None]:
    """The lock is held by another process, and no thread can be started that waits for it."""
    threading.stack_size(2**46)
    with read_only_folder(path):
        yield
    threading.stack_size(0)


def refuse(call: int, argument: int, value: int, error: int) -> None:
    """Make a system call with this argument fail, as it does on file systems that do not support it."""
    load, jump_if_equal, answer = 0x20, 0x15, 0x06
    instructions = [
        (load, 0, 0, 0),
        (jump_if_equal, 0, 3, call),
        (load, 0, 0, 16 + 8 * argument),
        (jump_if_equal, 0, 1, value),
        (answer, 0, 0, 0x00050000 | error),
        (answer, 0, 0, 0x7FFF0000),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *instruction) for instruction in instructions))
    program = struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, program, 0, 0) == 0, os.strerror(ctypes.get_errno())


@contextmanager
def no_locks(path: Path) -> Iterator[None]:
    refuse(FLOCK, 1, fcntl.LOCK_EX | fcntl.LOCK_NB, ENOLCK)
    yield


@contextmanager
def no_sqlite_locks(path: Path) -> Iterator[None]:
    refuse(FCNTL, 1, fcntl.F_SETLK, ENOLCK)
    yield


@contextmanager
def no_shared_memory(path: Path) -> Iterator[None]:
    refuse(MMAP, 3, mmap.MAP_SHARED, ENODEV)
    yield


def main(fault: Callable[[Path], AbstractContextManager[None]], before: str) -> None:
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    warnings: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: warnings.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("otel_kcevents").addHandler(handler)
    path = Path(tempfile.mkdtemp(), "kcevents.db")
    if before == "opened":
        program = TroubledProgram(path)
        program.emit(0, 3)
    with fault(path):
        if before == "new":
            program = TroubledProgram(path)
            program.emit(0, 3)
        program.emit(3, 50)
        program.catch_up()
    program.catch_up()
    result = {
        "path": str(path),
        "longest": program.longest,
        "total": program.total,
        "counts": program.log.counts(),
        "warnings": warnings,
    }
    print(json.dumps(result))


main(globals()[sys.argv[1]], sys.argv[2])
