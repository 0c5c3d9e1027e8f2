"""Runs real servers and workers in a process group of their own, and sends them requests."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

from conftest import TESTS, clean_environment

__all__ = ["request", "running"]


@contextmanager
def running(folder: Path, command: Sequence[object], **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process group that runs a command during the `with` block, in the folder of the programs.

    The end of the block waits until all processes have closed their stdout, which they share: the first process may end
    before another has exported.

    Args:
        folder: For its stderr, in a file with the name `output`, and in the variable TEST_FOLDER.
        command: The command.
        environment: Variables to add to `clean_environment()`.
    """
    with (folder / "output").open("wb") as output:
        program = subprocess.Popen(
            [str(part) for part in command],
            cwd=TESTS / "programs",
            env=clean_environment(TEST_FOLDER=str(folder), **environment),
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield program
        program.communicate(timeout=300)
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.communicate()
        raise


def request(folder: Path) -> bool:
    """Send a request to the server, whose stderr has its port; return whether it has answered."""
    listening = re.search(r"http://127\.0\.0\.1:(\d+)", (folder / "output").read_text())
    try:
        return bool(listening and urlopen(f"http://127.0.0.1:{listening[1]}/", timeout=20).read())
    except OSError:
        return False
