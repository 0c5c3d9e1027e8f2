"""How long a thread has waited, which a loaded machine does not change."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

__all__ = ["waited"]


def waited(task: int | str = "thread-self") -> float:
    """Return the seconds that a thread has waited for anything but a processor, since a fixed moment.

    Args:
        task: Its id. The id of a process stands for its main thread, even if that is a zombie.
    """
    try:
        running, runnable, _ = map(int, Path(f"/proc/{task}/schedstat").read_text().split())
    except OSError:  # a system without these figures
        running = runnable = 0
    return monotonic() - (running + runnable) / 1e9
