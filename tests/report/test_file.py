"""The file of a report: only its owner can read it, it replaces another only with *overwrite*, and it is complete."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest

from otel_kcevents.report.file import save_report


def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    save_report(str(tmp_path / "report.txt"), "a report\nä\n")
    assert (tmp_path / "report.txt").read_bytes() == "a report\nä\n".encode()
    assert (tmp_path / "report.txt").stat().st_mode & 0o777 == 0o600


def test_existing_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "report.txt").write_text("mine")
    with pytest.raises(FileExistsError):
        save_report(str(tmp_path / "report.txt"), "a report")
    assert (tmp_path / "report.txt").read_text() == "mine"


def test_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "report.txt").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        save_report(str(tmp_path / "report.txt"), "a report")
    assert not (tmp_path / "elsewhere").exists()


def test_existing_file_is_replaced_with_overwrite(tmp_path: Path) -> None:
    (tmp_path / "report.txt").write_text("mine")
    save_report(str(tmp_path / "report.txt"), "a report", overwrite=True)
    assert (tmp_path / "report.txt").read_text() == "a report"
    assert (tmp_path / "report.txt").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["report.txt"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_failed_write_leaves_no_file(tmp_path: Path, overwrite: bool) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            save_report(str(tmp_path / "report.txt"), "x" * 10_000, overwrite=overwrite)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []
