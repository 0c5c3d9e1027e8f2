"""`JournalError`, and its messages: the file, the reason and the remedy."""

from __future__ import annotations

import errno
import os
import sqlite3

__all__ = ["JournalError", "explain"]


class JournalError(OSError):
    """Raised if a journal cannot be read or written; the message has the file, the reason and the remedy."""


# Parts of SQLite's messages, since Python 3.10 has no error codes.
_REASONS = {
    "locked": "is locked by another program; close the program that keeps a transaction open in it",
    "readonly": "is read-only; give this process the permission to write it, or choose another file",
    "is full": "cannot grow, because the disk is full; free some space",
    "disk I/O error": "cannot be written (disk I/O error); check its disk, which must be local, and the size limit",
    "malformed": "is damaged (database disk image is malformed); move it away, and a new journal is created",
    "not a database": "is not a journal, or is damaged; move it away, or choose another file",
    "unable to open": "cannot be opened; check the permissions of its folder and the limit on open files",
    "locking protocol": "is on a file system without working locks; choose a file on a local disk",
}

_SYSTEM_REASONS = {
    errno.EACCES: "cannot be written: permission denied; give this process the permission to write in {folder}",
    errno.EPERM: "cannot be written: permission denied; give this process the permission to write in {folder}",
    errno.EROFS: "is on a read-only file system; choose another file",
    errno.ENOENT: "cannot be created, because {folder} does not exist; create the folder",
    errno.ENOTDIR: "cannot be created, because {folder} is not a folder; choose another file",
    errno.EMFILE: "cannot be opened: too many open files; raise the limit on open files",
    errno.ENFILE: "cannot be opened: too many open files; raise the limit on open files",
    errno.ENOSPC: _REASONS["is full"],
    errno.EDQUOT: _REASONS["is full"],
    errno.ENOLCK: _REASONS["locking protocol"],
    errno.EOPNOTSUPP: _REASONS["locking protocol"],
    errno.ENOSYS: _REASONS["locking protocol"],
}


def explain(path: str, error: sqlite3.Error | OSError) -> JournalError:
    """Return the `JournalError` for an error of SQLite or of the operating system.

    Args:
        path: The path of the journal.
        error: The error; a `JournalError` is returned as it is.
    """
    if isinstance(error, JournalError):
        return error
    if isinstance(error, OSError):
        reason = _SYSTEM_REASONS.get(error.errno or 0, f"cannot be written: {error}")
        return JournalError(f"{path} {reason.format(folder=os.path.dirname(path))}")
    for part, reason in _REASONS.items():
        if part in str(error):
            return JournalError(f"{path} {reason}")
    return JournalError(f"{path} cannot be written: {error}")
