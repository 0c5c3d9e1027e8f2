"""Call a function of `unedited_steps` in processes of each kind, with a number of rows that stands for the kind."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from unedited_steps import DAY, load, save  # type: ignore[import-not-found]  # the folder is no package


def work(rows: int) -> int:
    return len(load(DAY, rows))


def write(path: str, rows: int) -> None:
    Path(path).write_text(str(work(rows)))


def main(result: str) -> None:
    joblib: Any = import_module("joblib")
    fork, spawn, fork_server = map(get_context, ("fork", "spawn", "forkserver"))
    with ProcessPoolExecutor(1, mp_context=fork) as executor:
        assert list(executor.map(work, [1, 1])) == [1, 1]
    with fork.Pool(1) as pool:
        assert pool.map(work, [2, 2]) == [2, 2]
    process = fork.Process(target=write, args=(result, 3))  # type: ignore[attr-defined]
    process.start()
    process.join()
    assert Path(result).read_text() == "3"
    with spawn.Pool(1) as pool:
        assert pool.map(work, [4, 4]) == [4, 4]
    with ProcessPoolExecutor(1, mp_context=fork_server) as executor:
        assert list(executor.map(work, [5, 5])) == [5, 5]
    subprocess.run([sys.executable, __file__, "6"], check=True)
    assert joblib.Parallel(n_jobs=2)(joblib.delayed(work)(rows) for rows in (7, 7)) == [7, 7]
    save([1])


if __name__ == "__main__":
    if sys.argv[1].isdecimal():
        work(int(sys.argv[1]))
    else:
        main(sys.argv[1])
