"""`LockFile`: a side file whose locks order the writers of a journal and show which runs exist.

A `flock` is held during each write transaction and each checkpoint. It is polled, so that a wait can be bounded. A
forked child that inherits the descriptor shares the lock, so each process opens the file itself. Each run also locks
one byte of the file, with a POSIX lock: a forked child does not inherit it, and it ends with the process. A process
loses those locks when it closes any descriptor of the file, so it has only one, and keeps it.
"""

from __future__ import annotations

import os
from errno import EACCES, EAGAIN
from threading import RLock
from time import monotonic, sleep
from typing import Any

try:
    import fcntl as _fcntl
except ImportError:  # pragma: no cover - Windows: SQLite's own locks have to be enough
    _fcntl = None  # type: ignore[assignment]

__all__ = ["LockFile", "lock_file"]

fcntl: Any = _fcntl

_MAX_PAUSE = 0.0002  # seconds between two attempts
_FIRST_PAUSE = 0.00002
_MAX_SHARE = 0.01  # of the time waited: if hundreds of processes wait, the one that has the lock needs the processors
_CHECK_INTERVAL = 0.25  # seconds


class LockFile:
    """The locks of one journal in this process; get it from `lock_file()`.

    Args:
        path: The path of the side file. It is created when a lock is first needed.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        self._is_read_only = False
        self._opening = RLock()  # two threads might otherwise open two descriptors, one locked and one not
        self._is_locked = False  # or about to be
        self._run: str | None = None  # the run whose lock this process holds
        self._check_at = 0.0

    def acquire(self, timeout: float) -> bool:
        """Acquire the lock that orders writers.

        Args:
            timeout: The maximum time to wait, in seconds; 0 for one attempt.

        Returns:
            Whether this process has the lock.

        Raises:
            OSError: The file cannot be opened or locked.
        """
        if fcntl is None:  # pragma: no cover - Windows
            return True
        deadline = monotonic() + timeout
        while True:
            if self._fd < 0 or self._is_read_only:
                self._open_to_write()
            self._is_locked = True
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not self._poll(deadline):
                    self._is_locked = False
                    return False
            if not self._is_deleted():
                return True
            self.close()

    def renew(self, timeout: float) -> bool:
        """Acquire the lock in the file that has the path now, even if another file is open.

        Args:
            timeout: The maximum time to wait, in seconds; 0 for one attempt.

        Returns:
            Whether this process has the lock.

        Raises:
            OSError: The file cannot be opened or locked.
        """
        self._check_at = 0.0
        return self.acquire(timeout)

    def _is_deleted(self) -> bool:
        """Return whether another file has the path now; processes that open it do not see the locks of this one."""
        if monotonic() < self._check_at:
            return False
        self._check_at = monotonic() + _CHECK_INTERVAL
        try:
            return not os.path.samestat(os.stat(self._path), os.fstat(self._fd))
        except FileNotFoundError:
            return True

    def _poll(self, deadline: float) -> bool:
        pause = _FIRST_PAUSE
        begin = monotonic()
        while (now := monotonic()) < deadline:
            sleep(min(pause, deadline - now))
            pause = min(2 * pause, max(_MAX_PAUSE, (now - begin) * _MAX_SHARE))
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                continue
        return False

    def release(self) -> None:
        """Release the lock that orders writers, if this process has it.

        It may have it although `acquire` was interrupted by an exception of a signal handler.
        """
        self._is_locked = False
        if fcntl is not None and self._fd >= 0:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def hold(self, run: str) -> None:
        """Hold the lock of a run until this process ends.

        Args:
            run: The id of the run.

        Raises:
            OSError: The file cannot be opened or locked.
        """
        if fcntl is not None:  # pragma: no branch - Windows
            self._run = run
            self._open_to_write()
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _byte_of(run))

    def is_held(self, run: str) -> bool:
        """Return whether another process holds the lock of a run.

        Args:
            run: The id of the run.
        """
        if fcntl is None or run == self._run:
            return False
        try:
            self._open_to_read()
        except OSError:  # nobody has written since the file was deleted
            return False
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, _byte_of(run))
        except OSError as error:  # another error, as of a file system without locks, does not show that it exists
            return error.errno in (EACCES, EAGAIN)
        fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, _byte_of(run))
        return False

    def _open_to_write(self) -> None:
        with self._opening:
            if self._is_read_only:
                self.close()  # no lock is lost, because `is_held` keeps none
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
                if self._run is not None:
                    fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _byte_of(self._run))

    def _open_to_read(self) -> None:
        """Open the file without creating it; for writing too if possible, because this process may write later."""
        with self._opening:
            if self._fd >= 0 and self._run is None and not self._is_locked and self._is_deleted():
                self.close()
            if self._fd >= 0:
                return
            try:
                self._fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            except OSError:  # another user's
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
                self._is_read_only = True

    def close(self) -> None:
        """Close the descriptor, and with it release all locks; a later call opens the file again."""
        fd, self._fd = self._fd, -1
        self._is_read_only = self._is_locked = False
        if fd >= 0:
            os.close(fd)

    def after_fork_in_child(self) -> None:
        """Start without a descriptor: the inherited one shares its `flock` with the parent."""
        self._opening = RLock()
        self._run = None
        self.close()


def _byte_of(run: str) -> int:
    """Return the position of the byte that stands for a run; the file need not be that long."""
    return int(run[:15], 16)


_files: dict[str, LockFile] = {}


def lock_file(path: str) -> LockFile:
    """Return the locks of this process in a side file.

    Args:
        path: The absolute path of the side file.
    """
    return _files.setdefault(path, LockFile(path))


def _after_fork_in_child() -> None:
    for held in _files.values():
        held.after_fork_in_child()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
