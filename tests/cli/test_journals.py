"""`otel-kcevents log` on journals that real processes wrote."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections import Counter
from operator import itemgetter
from pathlib import Path

import pytest
from clients import Stage, filled, log_of
from conftest import run_program
from journals import DAYS, NIGHT, run_of, write
from serving import Ran, Run

from otel_kcevents.cli.selection import Selection, read_newest
from otel_kcevents.model.document import read_document
from otel_kcevents.model.event import Event
from otel_kcevents.model.report_form import FIRST_LINE, LOG_HEADING
from otel_kcevents.model.window import Window
from otel_kcevents.store.journal import Journal

EXTRA = 1_100  # more than the command reads at once
TEMPLATE = "http://localhost:16686/trace/{trace_id}?uiFind={span_id}&x={}"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of two nights, each with a worker: a night of September 1st, and one of the 2nd with more events."""
    path = tmp_path_factory.mktemp("nights") / "nights.db"
    run_program("nights", str(path), "2024-09-01")
    run_program("nights", str(path), "2024-09-02", str(EXTRA))
    return path


@pytest.fixture
def nights(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The file name of the journal, in the working directory."""
    for path in written.parent.iterdir():
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    return "nights.db"


def cells(ran: Ran) -> list[list[str]]:
    """The cells of the rows of events."""
    assert (ran.code, ran.err) == (0, "")
    return [re.split(" {2,}", row.strip()) for row in ran.out.split("\n\n")[0].splitlines()[1:]]


def kinds(ran: Ran) -> dict[str, int]:
    """How many events of each kind are listed."""
    return Counter(row[1] for row in cells(ran))


def counters(ran: Ran) -> dict[str, int]:
    """The table of counters."""
    rows = ran.out.split("\n\n")[1].splitlines()[1:]
    return {kind: int(count) for kind, count in map(str.split, rows)}


def days(ran: Ran) -> set[str]:
    """The days of the windows."""
    return {row[3][:10] for row in cells(ran)}


def test_log_of_a_journal_lists_the_newest_of_each_kind(run: Run, nights: str) -> None:
    ran = run("log", nights)
    assert kinds(ran) == {"AllocationSetLoaded": 46, "AllocationSetSaved": 256, "AssetSetComputeError": 2}
    assert counters(ran) == {"AllocationSetLoaded": 46, "AllocationSetSaved": EXTRA, "AssetSetComputeError": 2}


def test_last_run_is_listed_completely_with_its_worker(run: Run, nights: str) -> None:
    """The counters are those of the run."""
    ran = run("log", "--run=last", nights)
    expected = {"AllocationSetLoaded": 23, "AllocationSetSaved": EXTRA, "AssetSetComputeError": 1}
    assert kinds(ran) == counters(ran) == expected
    times = [row[0] for row in cells(ran)]
    assert times == sorted(times, reverse=True)


def test_long_run_has_one_header_and_aligned_columns(run: Run, tmp_path: Path) -> None:
    """It is printed in parts."""
    loaded, failed = Event("AssetSetLoaded", NIGHT, 5, DAYS[0]), Event("AssetSetComputeError", NIGHT)
    write(tmp_path / "log.db", run_of("a"), *[loaded] * 4_000, failed, *[loaded] * 4_000)
    ran = run("log", "--run=last", "--exit-code", str(tmp_path / "log.db"))
    header, *rows = ran.out.split("\n\n")[0].splitlines()
    assert (ran.code, header.split()[0], len(rows)) == (3, "TIME", 8_001)
    assert {row.index("AssetSet") for row in rows} == {header.index("KIND")}
    assert counters(ran) == {"AssetSetComputeError": 1, "AssetSetLoaded": 8_000}


def test_run_is_selected_by_the_start_of_its_id(run: Run, nights: str) -> None:
    """The id of a worker selects the worker alone."""
    first, worker = sorted(Journal(nights).runs(), key=itemgetter("started"))[:2]
    assert worker["parent"] == first["id"]
    assert kinds(run("log", "--run", first["id"][:8], nights)) == {"AllocationSetLoaded": 23, "AssetSetComputeError": 1}
    assert kinds(run("log", "--run", worker["id"], nights)) == {"AssetSetComputeError": 1}


@pytest.mark.parametrize(
    ("outcome", "detail", "ending"),
    [
        (None, None, "killed: 1 of its processes was killed"),
        ("killed", "SIGTERM", "killed: SIGTERM"),
        ("failed", "KeyError: 'x'\n", "failed: KeyError: 'x'\\n"),
        ("ended", None, "ended: 1 of its processes was killed"),
    ],
)
def test_log_of_a_run_says_how_it_ended(
    run: Run, tmp_path: Path, outcome: str | None, detail: str | None, ending: str
) -> None:
    """Although no call failed, which alone decides the exit code."""
    path = tmp_path / "log.db"
    write(path, run_of("a"), Event("AssetSetLoaded", NIGHT, 5, DAYS[0]))
    write(path, run_of("b", "a", 1), Event("AssetSetLoaded", NIGHT, 5, DAYS[0]))
    with sqlite3.connect(path) as connection:
        ended = outcome and NIGHT + 1
        connection.execute(
            "UPDATE run SET outcome = ?, detail = ?, ended = ? WHERE parent IS NULL", (outcome, detail, ended)
        )
    connection.close()
    ran = run("log", "--run=last", "--errors", "--exit-code", str(path))
    assert ran == (0, f"no errors\n\nrun nightly aaaaaaaa: {ending}\n", "")
    assert run("log", "--run=aaaa", str(path)).out.endswith(f"\n\nrun nightly aaaaaaaa: {ending}\n")


def test_unknown_run_error_names_the_newest_runs(run: Run, nights: str) -> None:
    ran = run("log", "--run=zz", nights)
    assert (ran.code, ran.out) == (1, "")
    roots = [found["id"] for found in Journal(nights).runs() if found["parent"] is None]
    assert "'zz'" in ran.err
    assert f"{roots[0]} (nights.py), {roots[1]} (nights.py)" in ran.err


@pytest.mark.parametrize(
    "window",
    ["2024-09-01", "2024-09-01T00:00:00Z,2024-09-02T00:00:00Z", "2024-09-01/1d", "2024-09-01/P1D", "../2024-09-02"],
)
def test_set_window_selects_by_the_window_of_the_set(run: Run, nights: str, window: str) -> None:
    """All these forms name the same window."""
    ran = run("log", "--set-window", window, nights)
    assert kinds(ran) == {"AllocationSetLoaded": 23, "AssetSetComputeError": 1}
    assert days(ran) == {"2024-09-01"}
    assert counters(ran)["AllocationSetSaved"] == EXTRA


@pytest.mark.parametrize(
    ("options", "windows"),
    [
        (["--set-window=2024-09-01T05:00Z/1h"], {"2024-09-01T05:00Z/1h", "2024-09-01/23h"}),
        (["--set-window=2024-09-01T05:30Z/30m", "--kind=AllocationSet"], {"2024-09-01T05:00Z/1h"}),
        (
            ["--set-window=2024-09-01T05:00Z/1h", "--kind=AllocationSet,AssetSet"],
            {"2024-09-01T05:00Z/1h", "2024-09-01/23h"},
        ),
        (["--set-window=2024-09-01T05:00Z/1h", "--errors"], {"2024-09-01/23h"}),
        (["--set-window=2024-09-01", "--run=last"], set()),
        (["--run=last", "--window=2024-09-01T00:00:00Z,2024-09-02T00:00:00Z"], set()),
        (["--set-window=2024-09-02", "--run=last", "--errors"], {"2024-09-02/23h"}),
        (["--set-window=2024-09-02", "--run=last", "--errors", "--window=1h"], {"2024-09-02/23h"}),
        (["--set-window=2024-09-01", "--window=2024-09-01T00:00:00Z,2024-09-02T00:00:00Z"], set()),
    ],
)
def test_selections_can_be_combined(run: Run, nights: str, options: list[str], windows: set[str]) -> None:
    """A saved document answers like the journal, except for runs."""
    assert {row[3] for row in cells(run("log", *options, nights))} == windows
    if "--run=last" not in options:
        Path("saved.json").write_text(run("log", "--json", nights).out, encoding="utf-8")
        assert run("log", *options, "saved.json") == run("log", *options, nights)


def test_open_window_of_a_set_overlaps(run: Run, nights: str) -> None:
    """An event without a window does not."""
    ends = [(None, "2024-09-01T01:00:00Z"), ("2024-09-01T23:00:00Z", None), ("2024-09-02T00:00:00Z", None)]
    events = [Event("AssetSetLoaded", 3 - n, window=Window(*pair)) for n, pair in enumerate(ends)]
    text = log_of(Event("AssetSetLoaded", 0), *reversed(events)).document().to_json()
    Path("open.json").write_text(text, encoding="utf-8")
    rows = cells(run("log", "--set-window=2024-09-01", "open.json"))
    assert [row[3] for row in rows] == ["../2024-09-01T01:00Z", "2024-09-01T23:00Z/.."]


@pytest.mark.parametrize("option", ["--window=soon", "--set-window=soon"])
def test_invalid_window_is_an_error(run: Run, nights: str, option: str) -> None:
    ran = run("log", option, nights)
    assert (ran.code, ran.out) == (1, "")
    assert "cannot convert 'soon' to a Window" in ran.err


# Traces


def ids(path: str) -> tuple[str, str]:
    """The trace and the span of the newest failure."""
    with sqlite3.connect(path) as connection:
        row = connection.execute(
            "SELECT trace_id, span_id FROM event WHERE error_type > '' ORDER BY id DESC"
        ).fetchone()
    connection.close()
    return str(row[0]), str(row[1])


def test_traces_are_shown_by_id(run: Run, nights: str) -> None:
    """An event without a span has no trace."""
    ((*_, trace, details),) = cells(run("log", "--traces", "--errors", "--run=last", nights))
    assert (trace, details) == (ids(nights)[0], "total: ValueError: no price for disks")
    rows = cells(run("log", "--traces", nights))
    assert Counter(row[1] for row in rows)["AllocationSetSaved"] == 256
    assert {row[4] for row in rows if row[1] == "AllocationSetSaved"} == {"-"}


def test_traces_are_shown_by_url(run: Run, nights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Braces other than those of the ids are kept."""
    monkeypatch.setenv("OTEL_PYTHON_KCEVENTS_TRACE_URL", TEMPLATE)
    ((*_, trace, _),) = cells(run("log", "--traces", "--errors", "--run=last", nights))
    trace_id, span_id = ids(nights)
    assert trace == f"http://localhost:16686/trace/{trace_id}?uiFind={span_id}&x={{}}"


def test_trace_url_without_a_placeholder_is_an_error(run: Run, nights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only if it is needed."""
    monkeypatch.setenv("OTEL_PYTHON_KCEVENTS_TRACE_URL", "http://localhost:16686/trace/")
    ran = run("log", "--traces", nights)
    assert (ran.code, ran.out) == (1, "")
    assert "'http://localhost:16686/trace/'" in ran.err
    assert "{trace_id}" in ran.err
    assert run("log", nights).code == 0


def test_traces_are_not_part_of_the_document(run: Run, nights: str) -> None:
    ran = run("log", "--traces", "--json", nights)
    assert (ran.code, ran.out) == (2, "")
    assert "not allowed with" in ran.err


def test_event_that_arrives_while_others_are_read_is_counted(tmp_path: Path) -> None:
    class Busy(Journal):
        def counts(self) -> dict[str, int]:
            counts = super().counts()
            write(tmp_path / "busy.db", run_of("b"), Event("AssetSetSaved", NIGHT + 1))
            return counts

    write(tmp_path / "busy.db", run_of("a"), Event("AssetSetSaved", NIGHT))
    listing = read_newest(Busy(tmp_path / "busy.db"), Selection(traces=True))
    assert (len(listing.events), listing.counters) == (2, {"AssetSetSaved": 2})


# The document and the exit code


def test_json_is_the_document_of_the_selection(run: Run, nights: str) -> None:
    document = read_document(run("log", "--json", "--run=last", "--kind=AssetSet", nights).out, strict=True)
    (event,) = document.lists["asset"]
    assert (event.kind, document.lists["allocation"]) == ("AssetSetComputeError", ())
    assert document.counters == {"AssetSetComputeError": 1}


def test_json_counts_a_run_in_alphabetical_order(run: Run, nights: str) -> None:
    counted = json.loads(run("log", "--json", "--run=last", nights).out)["data"]["counters"]
    assert [*counted] == ["AllocationSetLoaded", "AllocationSetSaved", "AssetSetComputeError"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--run=last"], 3),
        (["--run=last", "--errors", "--traces"], 3),
        (["--run=last", "--kind=AllocationSet"], 0),
        (["--set-window=2024-09-01"], 3),
        (["--set-window=2024-09-03"], 0),
    ],
)
def test_exit_code_works_with_every_selection(run: Run, nights: str, options: list[str], code: int) -> None:
    assert run("log", "--exit-code", *options, nights).code == code


# Sources that cannot answer


@pytest.mark.parametrize("options", [["--run=last"], ["--traces"]])
def test_document_without_runs_or_traces_is_an_error(run: Run, nights: str, options: list[str]) -> None:
    Path("saved.json").write_text(filled().document().to_json(), encoding="utf-8")
    ran = run("log", *options, "saved.json")
    assert (ran.code, ran.out) == (1, "")
    assert "saved.json has no" in ran.err
    assert "give a journal" in ran.err


@pytest.mark.parametrize("options", [["--run=last"], ["--traces"]])
def test_missing_file_is_not_a_log_without_runs(run: Run, options: list[str]) -> None:
    ran = run("log", *options, "kcevent.db")
    assert (ran.code, ran.out) == (1, "")
    assert "cannot read kcevent.db: No such file or directory" in ran.err


def test_database_that_is_not_a_journal_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    before = path.read_bytes()
    ran = run("log", str(path))
    assert (ran.code, ran.out) == (1, "")
    assert f"{path} is a database of another application" in ran.err
    assert path.read_bytes() == before


def test_journal_without_runs_has_no_last_run(run: Run, nights: str) -> None:
    with sqlite3.connect(nights) as connection:
        connection.execute("DELETE FROM run")
    connection.close()
    ran = run("log", "--run=last", nights)
    assert (ran.code, ran.out) == (1, "")
    assert "no runs yet" in ran.err


# Several sources, and the default


def test_several_sources_are_merged(run: Run, nights: str, stage: Stage, url: str) -> None:
    """One that is given twice is read once."""
    stage.log = log_of(*filled().document().lists["asset"])
    Path("saved.json").write_text(filled().document().to_json(), encoding="utf-8")
    ran = run("log", nights, "saved.json", url, nights)
    assert counters(ran) == {
        "AllocationSetLoaded": 46,
        "AllocationSetSaved": EXTRA + 1,
        "AllocationSetTotaled": 1,
        "AssetSetComputeError": 2 + 2,
        "AssetSetSaved": 2,
    }


@pytest.mark.parametrize("option", ["--run=last", "--set-window=2024-09-01", "--traces"])
def test_program_with_a_journal_answers_like_the_file(
    run: Run, nights: str, stage: Stage, url: str, option: str
) -> None:
    stage.log = Journal(nights)
    assert run("log", option, url) == run("log", option, nights)


def test_run_is_found_in_several_journals(run: Run, nights: str, tmp_path: Path) -> None:
    write(tmp_path / "other.db", run_of("a"), Event("AssetSetLoaded", NIGHT, 5, DAYS[0]))
    assert run("log", "--run=last", "other.db", nights) == run("log", "--run=last", nights)
    assert kinds(run("log", "--run=aaaa", "other.db", nights)) == {"AssetSetLoaded": 1}


def test_report_is_read_to_its_log(run: Run, nights: str) -> None:
    document = run("log", "--json", nights).out
    Path("report.txt").write_text(f"{FIRST_LINE}\n\nversions\n{LOG_HEADING}\n{document}", encoding="utf-8")
    assert run("log", "report.txt") == run("log", nights)


def test_default_source_is_the_log_file(run: Run, nights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_PYTHON_KCEVENTS_LOG_FILE", nights)
    assert run("log") == run("log", nights)


def test_missing_log_file_is_not_created(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_PYTHON_KCEVENTS_LOG_FILE", str(tmp_path / "missing.db"))
    ran = run("log")
    assert (ran.code, ran.out) == (1, "")
    assert f"{tmp_path / 'missing.db'} does not exist" in ran.err
    assert [*tmp_path.iterdir()] == []
