"""Runs real servers and workers in a process group of their own, and sends them requests."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from conftest import TESTS, clean_environment

__all__ = ["request", "running"]


@contextmanager
def running(folder: Path, command: Sequence[object], **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process group that runs a command during the `with` block, in the folder of the programs.

    Args:
        folder: For its output, in a file of this name, and in the variable TEST_FOLDER.
        command: The command.
        environment: Variables to add to `clean_environment()`.
    """
    with (folder / "output").open("wb") as output:
        program = subprocess.Popen(
            [str(part) for part in command],
            cwd=TESTS / "programs",
            env=clean_environment(TEST_FOLDER=str(folder), **environment),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield program
        program.wait(60)
    finally:
        if program.poll() is None:
            os.killpg(program.pid, signal.SIGKILL)
            program.wait()


def request(folder: Path, path: str = "/") -> bool:
    """Send a request to the server, whose output has its port; return whether it has answered."""
    listening = re.search(r"http://127\.0\.0\.1:(\d+)", (folder / "output").read_text())
    try:
        return bool(listening and urlopen(f"http://127.0.0.1:{listening[1]}{path}", timeout=20).read())
    except OSError:
        return False
