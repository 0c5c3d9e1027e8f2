"""Calls a function that a mapping names, and ends in the way that the argument names."""

from __future__ import annotations

import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from time import sleep


def save(rows: list[int], window: str = "2024-09-18") -> None:
    """Save nothing."""


def load(window: str) -> list[int] | None:
    """Load nothing from windows that end in 9."""
    return None if window.endswith("9") else [1, 2, 3]


def never() -> None:
    """Do nothing."""


def main(how: str) -> None:
    """End in this way."""
    save([1])
    if how == "pool":
        with ProcessPoolExecutor(2) as pool:
            print(len(list(pool.map(load, [f"2024-09-1{day}" for day in range(10)]))))
        sys.exit(5)
    elif how == "spawn":
        with get_context("spawn").Pool(1) as workers:
            print(len(workers.map(load, ["2024-09-10", "2024-09-11"])))
    elif how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "gone":
        for _ in range(100):
            save([1])
        os._exit(0)
    elif how == "left":
        reader, writer = os.pipe()
        if os.fork() == 0:
            save([1])
            os.write(writer, str(os.getpid()).encode())
            sleep(60)
        print(os.read(reader, 100).decode())
    elif how == "upper":
        print(sys.stdin.read().upper())
    elif how in ("SIGTERM", "SIGINT", "SIGUSR1"):  # to the process that started this one
        signal.signal(signal.SIGUSR1, lambda *_: sys.exit(9))
        try:
            os.kill(os.getppid(), getattr(signal, how))
            sleep(20)
        except KeyboardInterrupt:
            sys.exit(7)


if __name__ == "__main__":
    main(sys.argv[1])
