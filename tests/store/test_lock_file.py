"""The locks beside a journal: between processes, across forks, and without a descriptor."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Timer

import pytest
from conftest import run_program

from otel_kcevents.store.lock_file import LockFile, lock_file


@pytest.fixture
def locks(tmp_path: Path) -> tuple[LockFile, LockFile]:
    """Two objects for one file, each with a descriptor, as two processes have them."""
    return LockFile(str(tmp_path / "lock")), LockFile(str(tmp_path / "lock"))


def test_children_neither_share_nor_release_the_locks(tmp_path: Path) -> None:
    """Children that are forked, that exit, and that run another program."""
    out, err = run_program("lock_file", str(tmp_path / "lock"))
    seen = json.loads(out)
    assert ([name for name, held in seen.items() if not held], err) == (["after its release"], "")


def test_lock_is_waited_for(locks: tuple[LockFile, LockFile]) -> None:
    first, second = locks
    assert first.acquire(0)
    assert not second.acquire(0.01)
    timer = Timer(0.01, first.release)
    timer.start()
    assert second.acquire(20)
    timer.join()


def test_release_without_the_lock_changes_nothing(locks: tuple[LockFile, LockFile]) -> None:
    first, second = locks
    second.release()
    assert first.acquire(0)
    second.release()
    assert not second.acquire(0)
    second.release()
    assert not second.acquire(0)


def test_file_is_opened_again_after_it_was_closed(locks: tuple[LockFile, LockFile]) -> None:
    first, second = locks
    assert first.acquire(0)
    first.close()
    assert second.acquire(0)
    assert not first.acquire(0)


def test_file_that_was_replaced_is_opened_again(locks: tuple[LockFile, LockFile], tmp_path: Path) -> None:
    first, second = locks
    assert first.acquire(0)
    (tmp_path / "lock").unlink()
    assert second.acquire(0)
    assert not first.renew(0)
    second.release()
    assert first.renew(0)


def test_file_that_was_deleted_is_created_again(locks: tuple[LockFile, LockFile], tmp_path: Path) -> None:
    first, second = locks
    assert first.acquire(0)
    (tmp_path / "lock").unlink()
    assert first.renew(0)
    assert not second.acquire(0)


def test_run_without_a_file_is_not_held(locks: tuple[LockFile, LockFile], tmp_path: Path) -> None:
    """The file is not created."""
    assert not locks[0].is_held("ab" * 8)
    (tmp_path / "lock").touch()
    assert not locks[0].is_held("ab" * 8)
    (tmp_path / "lock").unlink()
    assert not locks[0].is_held("ab" * 8)
    assert list(tmp_path.iterdir()) == []


def test_path_that_could_only_be_read_is_opened_again_to_write(tmp_path: Path) -> None:
    """A folder stands for the file of another user: it can be locked, but not opened for writing."""
    folder = tmp_path / "lock"
    folder.mkdir()
    lock = LockFile(str(folder))
    assert not lock.is_held("ab" * 8)
    with pytest.raises(IsADirectoryError):
        lock.acquire(0)
    folder.rmdir()
    assert lock.acquire(0)
    assert folder.is_file()


def test_process_has_one_object_for_each_file(tmp_path: Path) -> None:
    assert lock_file(str(tmp_path / "lock")) is lock_file(str(tmp_path / "lock"))
