"""`save_report()`: write a report to a file that only its owner can read."""

from __future__ import annotations

import os
from contextlib import suppress

__all__ = ["save_report"]


def save_report(path: str, text: str, *, overwrite: bool = False) -> None:
    """Write a report to a new file. If it cannot be written, no file is left.

    Args:
        path: The path of the file.
        text: The report.
        overwrite: Whether to replace a file that exists, once the report is complete.

    Raises:
        FileExistsError: The file exists, and *overwrite* is False.
        OSError: The file cannot be written.
    """
    target = f"{path}.{os.getpid()}.part" if overwrite else path
    # O_EXCL: never through a symbolic link that others may have put there.
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        if overwrite:
            os.replace(target, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(target)
        raise
