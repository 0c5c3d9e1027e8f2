"""`configure(log_file=...)` and the variable for it: the journal of a configured program and of its children."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import run_program

from otel_kcevents import Journal

FILE = "OTEL_PYTHON_KCEVENTS_LOG_FILE"


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """A function that runs a function of `programs/log_file.py`; it returns what was printed, and logged, by line."""

    def run_function(name: str, **environment: str) -> tuple[list[str], list[str]]:
        out, err = run_program("log_file", name, str(tmp_path), code=0, **environment)
        return out.splitlines(), err.splitlines()

    return run_function


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """The journal that the programs write."""
    return Journal(tmp_path / "log.db")


def saved(journal: Journal) -> int:
    """Return the number of events, all of one kind."""
    return journal.counts()["AssetSetSaved"]


def services(journal: Journal) -> list[Any]:
    """Return the services of the runs, the first run first."""
    return [found["service"] for found in reversed(journal.runs())]


def test_argument_names_the_file(run: Any, journal: Journal) -> None:
    assert run("argument") == ([], [])
    assert saved(journal) == 1


def test_variable_names_the_file(run: Any, journal: Journal, tmp_path: Path) -> None:
    assert run("configured", **{FILE: str(tmp_path / "log.db")}) == ([], [])
    assert saved(journal) == 1


def test_argument_takes_precedence_over_the_variable(run: Any, journal: Journal, tmp_path: Path) -> None:
    assert run("argument", **{FILE: str(tmp_path / "other.db")}) == ([], [])
    assert saved(journal) == 1
    assert not (tmp_path / "other.db").exists()


@pytest.mark.parametrize("value", ["", "  "])
def test_empty_variable_names_no_file(run: Any, tmp_path: Path, value: str) -> None:
    assert run("configured", **{FILE: value}) == ([], [])
    assert list(tmp_path.iterdir()) == []


def test_false_means_no_file_for_children_either(run: Any, tmp_path: Path) -> None:
    assert run("no_file", **{FILE: str(tmp_path / "log.db")}) == ([], [])
    assert list(tmp_path.iterdir()) == []


def test_disabled_sdk_does_not_disable_the_journal(run: Any, journal: Journal) -> None:
    assert run("argument", OTEL_SDK_DISABLED="true") == ([], [])
    assert saved(journal) == 1


def test_relative_path_stays_valid_in_another_folder(run: Any, journal: Journal) -> None:
    """A script that the program starts joins the same file, as a child run."""
    assert run("other_folder") == ([], [])
    child, parent = journal.runs()
    assert (child["parent"], parent["parent"]) == (parent["id"], None)
    assert [found["events"] for found in (child, parent)] == [1, 1]


@pytest.mark.parametrize(
    "name", ["spawned_child", "forked_child", "forkserver_child", "spawned_child_of_own_providers", "grandchild"]
)
def test_child_process_writes_to_the_same_file(run: Any, journal: Journal, name: str) -> None:
    run(name)
    assert journal.counts() == {"AssetSetLoaded": 1, "AssetSetSaved": 1}
    child, parent = journal.runs()
    assert child["parent"] == parent["id"]
    assert child["outcome"] == parent["outcome"] == "ended"


@pytest.mark.parametrize(
    ("name", "environment", "service"),
    [
        ("configured", {}, "nightly"),
        ("configured", {"OTEL_SERVICE_NAME": "billing"}, "billing"),
        ("argument", {}, None),
        ("own_providers", {}, "nightly"),
        ("own_providers", {"OTEL_SERVICE_NAME": "billing"}, "billing"),
    ],
)
def test_run_has_the_name_of_the_service(
    run: Any, journal: Journal, tmp_path: Path, name: str, environment: dict[str, str], service: str | None
) -> None:
    """That of its spans, if they have one."""
    run(name, **{FILE: str(tmp_path / "log.db")}, **environment)
    assert services(journal) == [service]


def test_forked_child_has_the_service_of_its_parent(run: Any, journal: Journal) -> None:
    run("forked_child", OTEL_SERVICE_NAME="billing")
    assert services(journal) == ["billing", "billing"]


@pytest.mark.parametrize("name", ["attached", "attached_and_configured", "configured_and_attached"])
def test_attached_journal_has_each_event_once(run: Any, journal: Journal, tmp_path: Path, name: str) -> None:
    """Also if the environment names the same file."""
    assert run(name, **{FILE: str(tmp_path / "log.db")}) == ([], [])
    assert saved(journal) == 1


@pytest.mark.parametrize("name", ["again", "later"])
def test_second_call_adds_the_file_once(run: Any, journal: Journal, name: str) -> None:
    assert run(name) == ([], [])
    assert saved(journal) == 1


@pytest.mark.parametrize(
    ("name", "argument"), [("again_with_another_file", "'other.db'"), ("again_without_a_file", "False")]
)
def test_second_file_of_a_log_is_reported_once(
    run: Any, journal: Journal, tmp_path: Path, name: str, argument: str
) -> None:
    _, [message] = run(name)
    assert f"log_file={argument} is not used" in message
    assert journal.path in message
    assert saved(journal) == 1
    assert not (tmp_path / "other.db").exists()


def test_second_log_is_not_kept_in_the_same_file(run: Any, journal: Journal) -> None:
    """An event on a span reaches both logs, so the file has it already."""
    [counts], [message] = run("two_logs")
    assert counts == "{'AssetSetSaved': 1} {'AssetSetSaved': 1}"
    assert "log_file='log.db' is not used: the file has kept another log" in message
    assert saved(journal) == 1


def test_second_log_can_have_its_own_file(run: Any) -> None:
    both = "{'AssetSetLoaded': 1, 'AssetSetSaved': 1}"
    assert run("two_logs_in_two_files") == ([f"{both} {both}"], [])


def test_captures_can_have_files_of_their_own(run: Any, journal: Journal) -> None:
    """Their processes too; afterwards, the log is kept in the program's file again."""
    assert run("captured") == (["{'AssetSetLoaded': 3}"] * 2 + [journal.path], [])
    assert journal.counts() == {"AssetSetSaved": 2}


@pytest.mark.parametrize("place", [".", "missing/log.db"])
def test_unusable_file_is_reported_and_again_at_the_end(run: Any, tmp_path: Path, place: str) -> None:
    """The program runs; the second warning says how much the file lacks."""
    out, [first, last] = run("configured", **{FILE: str(tmp_path / place)})
    assert out == []
    assert "events wait in memory" in first
    assert last.endswith("events of this process that are not in it: 1")
    assert all(message.startswith(str((tmp_path / place).resolve())) for message in (first, last))


def test_malformed_value_is_refused_before_anything_is_set(run: Any, tmp_path: Path) -> None:
    out, errors = run("malformed", OTEL_PYTHON_KCEVENTS_LOG_FILE_RETENTION="90 days")
    *paths, retention, provider = out
    assert [message.partition("got ")[2] for message in paths] == ["5", "True", "a bytes of 6 bytes", r"'a\x00b'"]
    assert "OTEL_PYTHON_KCEVENTS_LOG_FILE_RETENTION='90 days'" in retention
    assert "such as 90d or 12h" in retention
    assert (provider, errors, list(tmp_path.iterdir())) == ("ProxyTracerProvider", [], [])


def test_malformed_retention_is_ignored_without_a_file(run: Any) -> None:
    assert run("configured", OTEL_PYTHON_KCEVENTS_LOG_FILE_RETENTION="90 days") == ([], [])
