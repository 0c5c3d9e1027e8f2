"""The arguments of `Journal`, and how it is shown."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from otel_kcevents import Journal
from otel_kcevents.model.event import Event


@pytest.mark.parametrize("retention", [0, -1, True, 1.5, "100"])
def test_retention_must_be_a_positive_integer(tmp_path: Path, retention: Any) -> None:
    with pytest.raises(ValueError, match=f"retention must be an integer of at least 1, or None, got {retention!r}"):
        Journal(tmp_path / "log.db", retention)


def test_max_age_must_be_a_positive_timedelta(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="max_age must be positive"):
        Journal(tmp_path / "log.db", max_age=timedelta())
    days: Any = 90
    with pytest.raises(TypeError, match="max_age must be a timedelta or None, got 90"):
        Journal(tmp_path / "log.db", max_age=days)


def test_journal_is_shown_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = os.path.realpath("log.db")
    assert (str(Journal("log.db")), repr(Journal("log.db"))) == (path, f"Journal({path!r})")


def test_event_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    """A log has only kinds that it knows, but a journal can be called without one."""
    with pytest.raises(KeyError, match="Nothing"):
        Journal(tmp_path / "log.db")(Event("Nothing", 1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("time", "size"), [("now", None), (1, 2**63), (1, -1), (1, "4"), (1, True)])
def test_event_that_cannot_be_stored_is_refused(tmp_path: Path, time: Any, size: Any) -> None:
    """A log refuses it too. Later events would wait for it."""
    with pytest.raises(ValueError, match=r"time must be an integer, and size None or an integer from 0 to .*, got"):
        Journal(tmp_path / "log.db")(Event("AssetSetSaved", time, size))
