"""The command `otel-kcevents coverage`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Run

from otel_kcevents import Event, EventLog, Failure, Journal, Window, start_http_server
from otel_kcevents.cli import coverage as coverage_command
from otel_kcevents.cli import terminal as terminal_module
from otel_kcevents.cli.terminal import Terminal
from otel_kcevents.model.report_form import FIRST_LINE, LOG_HEADING
from otel_kcevents.model.timestamps import SECOND, parse_time
from otel_kcevents.store import coverage as coverage_module
from otel_kcevents.store import source as source_module
from otel_kcevents.store.coverage import CoverageQuery, coverage
from otel_kcevents.store.verdict import DASH

HOUR = 3_600 * SECOND
NOW = parse_time("2024-09-03T06:30:00Z")
RANGE = "2024-09-02T00:00Z/2024-09-03T12:00Z"
DIFFERS = Failure("costs.Differs", "the bill says 12 USD", "reconcile")


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (coverage_module, source_module):  # documents are newer than this, so this clock decides
        monkeypatch.setattr(module, "time_ns", lambda: NOW)


def hour(number: int) -> Window:
    """The window of an hour after 2024-09-02T00:00Z."""
    start = parse_time("2024-09-02T00:00:00Z") + number * HOUR
    return Window.from_ns(start, start + HOUR)


def ended(window: Window, minutes: int) -> int:
    """The time some minutes after the end of a window."""
    assert window.end_ns is not None
    return window.end_ns + minutes * 60 * SECOND


def troubled() -> EventLog:
    """Hourly sets with every state; the allocation of hours 7 and 8 is missing."""
    log = EventLog(1000)
    for number in range(28):
        window = hour(number)
        log.append(Event("AssetSetSaved", ended(window, 5), 7, window))
        if number in (7, 8):
            continue
        if number == 9:
            log.append(Event("AllocationSetComputeError", ended(window, 1), None, window, Failure("E", "late", "save")))
        log.append(Event("AllocationSetSaved", ended(window, 5), 0 if number == 10 else 9, window))
        if number == 12:
            log.append(Event("AllocationSetReconcileError", ended(window, 6), None, window, DIFFERS))
        else:
            log.append(Event("AllocationSetReconciled", ended(window, 6), None, window))
        if number == 11:
            log.append(Event("AllocationSetSaved", ended(window, 50), 9, window))
    log.append(Event("AllocationSetComputeError", NOW - HOUR, None, None, Failure("KeyError", "'REGION'", "load")))
    return log


@pytest.fixture
def saved(tmp_path: Path) -> str:
    """A saved document of `troubled()`."""
    path = tmp_path / "log.json"
    path.write_text(troubled().document().to_json(), encoding="utf-8")
    return str(path)


def test_verdict_grid_legend_and_problems_are_shown(run: Run, saved: str) -> None:
    code, out, err = run("coverage", "--window", RANGE, "--etl", "allocation", saved)
    verdict, _, rest = out.partition("\n")
    assert verdict == (
        "allocation: 1 window failed, 2 missing, 1 empty, 1 saved again after reconciling, 1 failure without a window; "
        f"newest saved 03:00{DASH}04:00, 2 h ago"
    )
    assert (code, rest, err) == (
        0,
        """
allocation, hourly, due 2h after the end
            save                      reconcile
            00    06    12    18      00    06    12    18
2024-09-02  ■■■■■■■!!▲0↻■■■■■■■■■■■■  ■■■■■■■!!■■■✗■■■■■■■■■■■
2024-09-03  ■■■■···                   ■■■■···

■ ok  ▲ ok after failures  ↻ saved again after reconciling  0 empty  ✗ failed
! missing  · not due yet
from 2024-09-02T00:00:00Z to 2024-09-03T06:30:00Z

failed
  no window             allocation load: 1 failure, last at 2024-09-03T05:30:00Z: KeyError: 'REGION'
  2024-09-02T12:00Z/1h  allocation reconcile: costs.Differs: the bill says 12 USD

missing
  2024-09-02T07:00Z/2h  allocation save, reconcile: 2 windows

saved again after reconciling
  2024-09-02T11:00Z/1h  allocation save: at 2024-09-02T12:50:00Z, after it was reconciled

empty
  2024-09-02T10:00Z/1h  allocation save: size 0
""",
        "",
    )


@pytest.mark.parametrize(
    ("options", "lines", "code"),
    [
        (["--missing"], ["2024-09-02T07:00:00Z,2024-09-02T09:00:00Z"], 3),
        (["--failed"], ["2024-09-02T12:00:00Z,2024-09-02T13:00:00Z"], 3),
        (
            ["--missing", "--failed", "--grace", "0"],
            [
                "2024-09-02T07:00:00Z,2024-09-02T09:00:00Z",
                "2024-09-02T12:00:00Z,2024-09-02T13:00:00Z",
                "2024-09-03T04:00:00Z,2024-09-03T06:00:00Z",
            ],
            3,
        ),
        (
            ["--missing", "--failed", "--each"],
            [
                "2024-09-02T07:00:00Z,2024-09-02T08:00:00Z",
                "2024-09-02T08:00:00Z,2024-09-02T09:00:00Z",
                "2024-09-02T12:00:00Z,2024-09-02T13:00:00Z",
            ],
            3,
        ),
        (["--missing", "--etl", "asset"], [], 0),
        (["--missing", "--operation", "reconcile"], ["2024-09-02T07:00:00Z,2024-09-02T09:00:00Z"], 3),
        (["--failed", "--operation", "save"], [], 0),
    ],
)
def test_windows_for_a_rerun_are_printed(run: Run, saved: str, options: list[str], lines: list[str], code: int) -> None:
    assert run("coverage", "--window", RANGE, *options, saved) == (code, "".join(f"{line}\n" for line in lines), "")


def test_each_month_of_a_gap_has_its_own_line(run: Run, tmp_path: Path) -> None:
    log = EventLog()
    for month in ("2024-01", "2024-04"):
        log.append(Event("AssetSetSaved", NOW, 7, Window.of(month)))
    path = tmp_path / "log.json"
    path.write_text(log.document().to_json(), encoding="utf-8")
    assert run("coverage", "--window", "2024-01/2024-05", "--missing", "--each", str(path)).out.splitlines() == [
        "2024-02-01T00:00:00Z,2024-03-01T00:00:00Z",
        "2024-03-01T00:00:00Z,2024-04-01T00:00:00Z",
    ]


def test_printed_window_can_be_read(run: Run, saved: str) -> None:
    """In the form that the Events API accepts."""
    line = run("coverage", "--window", RANGE, "--missing", saved).out.strip()
    assert Window.parse(line) == Window("2024-09-02T07:00:00Z", "2024-09-02T09:00:00Z")


@pytest.mark.parametrize(("options", "code"), [(["--operation", "reconcile"], 3), (["--etl", "asset"], 0)])
def test_exit_code_says_if_a_window_is_failed_or_missing(run: Run, saved: str, options: list[str], code: int) -> None:
    assert run("coverage", "--window", RANGE, "--exit-code", *options, saved).code == code


def test_json_is_that_of_the_endpoint(run: Run, saved: str) -> None:
    printed = json.loads(run("coverage", "--window", RANGE, "--json", saved).out)
    query = CoverageQuery(Window("2024-09-02T00:00:00Z", "2024-09-03T12:00:00Z"), now=NOW)
    assert printed == {"code": 200, "data": json.loads(json.dumps(coverage(troubled(), query).to_dict()))}


def test_json_has_the_selected_rows(run: Run, saved: str) -> None:
    out = run("coverage", "--json", "--etl", "asset", "--resolution", "60m", "--window", RANGE, saved).out
    data = json.loads(out)["data"]
    assert [(row["etl"], row["operation"]) for row in data["rows"]] == [("asset", "save")]
    assert data["withoutWindow"] == []


def test_journal_and_running_program_have_a_coverage(run: Run, saved: str, tmp_path: Path) -> None:
    """The same as a saved document of their events; also of several sources together."""
    log = EventLog()
    detach = log.attach(Journal(tmp_path / "log.db"))
    events = [event for listed in troubled().document().lists.values() for event in listed]
    for event in sorted(events, key=lambda event: event.time):
        log.append(event)
    detach()
    expected = run("coverage", "--window", RANGE, saved)
    with start_http_server(0, log=log) as server:
        for sources in ([str(tmp_path / "log.db")], [server.url], [saved, saved]):
            assert run("coverage", "--window", RANGE, *sources) == expected
        both = run("coverage", "--window", RANGE, "--exit-code", saved, str(tmp_path / "log.db"))
    assert (both.code, both.out.splitlines()[0]) == (3, expected.out.splitlines()[0].replace("1 failure", "2 failures"))


@pytest.mark.parametrize(("is_ascii", "mark"), [(False, DASH), (True, "-")])
def test_windows_before_the_first_event_are_told_apart(
    run: Run, saved: str, monkeypatch: pytest.MonkeyPatch, is_ascii: bool, mark: str
) -> None:
    """They are printed for a backfill, but only `--missing` counts them in the exit code."""
    if is_ascii:
        monkeypatch.setattr(coverage_command, "terminal_of", lambda stream: Terminal(None, False, False))
    early = ("coverage", "--window", "2024-09-01T20:00Z/2024-09-02T02:00Z", "--etl", "asset")
    ok = "#" if is_ascii else "\N{BLACK SQUARE}"
    code, out, _ = run(*early, "--exit-code", saved)
    assert code == 0
    assert out.startswith("asset: 2 windows ok, 4 missing before its first event; newest saved ")
    assert f"2024-09-01  {' ' * 20}{mark * 4}\n" in out
    assert f"{ok} ok  {mark} missing, before the first event\n" in out
    assert out.endswith("\nmissing, before the first event\n  2024-09-01T20:00Z/4h  asset save: 4 windows\n")
    assert run(*early, "--missing", saved) == (3, "2024-09-01T20:00:00Z,2024-09-02T00:00:00Z\n", "")


def test_note_says_how_to_omit_windows_before_the_first_event(run: Run, tmp_path: Path) -> None:
    """Of a reconcile that began after the saves, and of an asset. What is missing since then is still printed."""
    log = EventLog()
    for number in range(-200, 26):
        log.append(Event("AllocationSetSaved", NOW, 7, hour(number)))
        if number in (8, 10, 11, 12):
            log.append(Event("AssetSetSaved", NOW, 7, hour(number)))
    for number in range(20, 26):
        log.append(Event("AllocationSetReconciled", NOW, None, hour(number)))
    path = tmp_path / "log.json"
    path.write_text(log.document(limit=1000).to_json(), encoding="utf-8")
    code, _, err = run("coverage", "--missing", str(path))
    assert code == 3
    notes = [line.partition("select ")[2].split() for line in err.splitlines()]
    assert [" ".join(note) for note in notes] == [
        "--etl allocation --resolution hourly --operation reconcile --window 2024-09-02T20:00:00Z/..",
        "--etl asset --resolution hourly --window 2024-09-02T08:00:00Z/..",
    ]
    since = [run("coverage", "--missing", *note, str(path)) for note in notes]
    assert since[0] == (3, "2024-09-03T02:00:00Z,2024-09-03T04:00:00Z\n", "")
    assert since[1].out.startswith("2024-09-02T09:00:00Z,2024-09-02T10:00:00Z\n")


def test_unknown_windows_are_shown_and_said(run: Run, tmp_path: Path) -> None:
    """A document lists the newest 256 events of each kind; what was before is unknown, not missing."""
    log = EventLog(20)
    for number in range(28):
        log.append(Event("AssetSetSaved", ended(hour(number), 5), 7, hour(number)))
    (tmp_path / "log.json").write_text(log.document().to_json(), encoding="utf-8")
    arguments = ("coverage", "--window", RANGE, str(tmp_path / "log.json"))
    out = run(*arguments).out
    assert "asset: 8 windows unknown; newest saved" in out
    assert "2024-09-02  ????????■■■■■■■■■■■■■■■■\n" in out
    assert "? unknown: the source keeps no events of that time\n" in out
    missing = run(*arguments, "--missing")
    assert (missing.code, missing.out) == (0, "")
    assert "some windows before 2024-09-02T08:00:00Z are unknown" in missing.err


def save(path: Path, *events: Event) -> str:
    """Write a document with these events, of which the last one is the newest."""
    log = EventLog()
    for event in events:
        log.append(event)
    path.write_text(log.document().to_json(), encoding="utf-8")
    return str(path)


@pytest.fixture(params=["report", "document", "standard input"])
def old(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A log with the asset sets of five hours that was saved at 05:12, a day before it is read."""
    path, saved_at = tmp_path / "old", parse_time("2024-09-02T05:12:00Z")
    save(path, *(Event("AssetSetSaved", ended(hour(number), 5), 7, hour(number)) for number in (0, 1, 3, 4)))
    if request.param == "report":
        path.write_text(
            f"{FIRST_LINE}\nwritten: 2024-09-02T05:12:00Z by x\n\n{LOG_HEADING}\n{path.read_text(encoding='utf-8')}\n",
            encoding="utf-8",
        )
    else:
        os.utime(path, ns=(saved_at, saved_at))
    if request.param != "standard input":
        yield str(path)
        return
    with path.open("rb") as stream:
        inherited = os.dup(0)
        os.dup2(stream.fileno(), 0)
        try:
            yield "-"
        finally:
            os.dup2(inherited, 0)
            os.close(inherited)


def test_saved_log_is_judged_as_of_when_it_was_saved(run: Run, old: str) -> None:
    """A relative range ends then, and the verdict says so."""
    assert run("coverage", "--window", "6h", old) == (
        0,
        f"asset: 1 window missing; newest saved 04:00{DASH}05:00, 7 min ago (as of 2024-09-02 05:12)\n"
        """
asset, hourly, due 2h after the end
            save
            00    06    12    18
2024-09-02  ■■!■■·

■ ok  ! missing  · not due yet
from 2024-09-02T00:00:00Z to 2024-09-02T05:12:00Z

missing
  2024-09-02T02:00Z/1h  asset save: 1 window
""",
        "",
    )


def test_later_windows_of_a_saved_log_are_not_listed(run: Run, old: str) -> None:
    code, out, err = run("coverage", "--missing", "--window", "2024-09-02", old)
    assert (code, out) == (3, "2024-09-02T02:00:00Z,2024-09-02T03:00:00Z\n")
    assert err.endswith(f"{old} was saved at 2024-09-02T05:12:00Z; later windows are not known and not listed\n")


def test_range_after_a_log_was_saved_is_refused(run: Run, tmp_path: Path) -> None:
    path, saved_at = tmp_path / "old.json", NOW - 24 * HOUR
    save(path)
    os.utime(path, ns=(saved_at, saved_at))
    ran = run("coverage", "--window", "2024-09-03T00:00Z/2h", str(path))
    assert (ran.code, ran.out) == (2, "")
    assert "before 2024-09-02T06:30:00Z, when the source was saved" in ran.err


def test_windows_of_another_length_are_compact_lines(run: Run, tmp_path: Path) -> None:
    quarters = [Window.from_ns(NOW - n * HOUR // 4, NOW - (n - 1) * HOUR // 4) for n in (9, 8, 7, 5, 4, 3, 2, 1)]
    path = save(tmp_path / "log.json", *(Event("AssetSetSaved", NOW, 7, window) for window in quarters))
    out = run("coverage", "--window", "2024-09-03T04:15Z/2024-09-03T06:30Z", "--grace", "90s", path).out
    assert "asset, 15m, due 90s after the end\n                  save\n2024-09-03 04:15  ■■■!■■■■■\n\n■ ok" in out


def test_operation_without_windows_in_the_range_has_no_grid(run: Run, tmp_path: Path) -> None:
    """A single window of an unusual length is not a schedule, so that none is missing afterwards."""
    window = Window.of("2024-08-01T00:00Z/2024-08-01T05:00Z")
    path = save(tmp_path / "log.json", Event("AssetSetSaved", NOW, 7, window))
    assert run("coverage", "--window", "2024-09-02", path).out.splitlines() == [
        f"asset: no window due yet; newest saved 2024-08-01 00:00{DASH}05:00, 0 s ago",
        "",
        "from 2024-09-02T00:00:00Z to 2024-09-03T00:00:00Z",
    ]


def test_source_without_events_has_no_windows(run: Run, tmp_path: Path) -> None:
    (tmp_path / "log.json").write_text(EventLog().document().to_json(), encoding="utf-8")
    assert run("coverage", "--exit-code", str(tmp_path / "log.json")) == (0, "no windows\n", "")


def test_terminal_that_is_not_utf8_gets_ascii(run: Run, saved: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal_module, "is_utf8", lambda stream: False)
    out = run("coverage", "--window", RANGE, "--etl", "allocation", saved).out
    assert out.isascii()
    assert "newest saved 03:00-04:00, 2 h ago\n" in out
    assert "2024-09-02  #######!!^0*############  #######!!###X###########\n" in out


def test_wide_terminal_shows_more_side_by_side(run: Run, saved: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a narrow one shows one below the other, with shortened messages."""
    lines = {}
    for columns in (40, 100):
        terminal = Terminal(columns, False, True)
        monkeypatch.setattr(coverage_command, "terminal_of", lambda stream, terminal=terminal: terminal)
        lines[columns] = run("coverage", "--window", RANGE, "--etl", "allocation", saved).out.splitlines()
    assert sum("00    06    12    18" in line for line in lines[40]) == 2
    assert sum("00    06    12    18" in line for line in lines[100]) == 1
    assert "  2024-09-02T12:00Z/1h  allocation re..." in lines[40]
    assert lines[40][:2] == ["allocation: 1 window failed, 2 missing,", "  1 empty, 1 saved again after"]
    assert [line for line in lines[40] if len(line) > 40] == ["from 2024-09-02T00:00:00Z to 2024-09-03T06:30:00Z"]
    assert "■ ok  ▲ ok after failures" in lines[40]


def test_colours_are_only_for_terminals(run: Run, saved: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in run("coverage", "--window", RANGE, saved).out
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = run("coverage", "--window", RANGE, saved).out
    assert "\x1b[1;31m✗\x1b[m" in out
    assert "\x1b" not in re.sub(r"\x1b\[[\d;]*m", "", out)


def test_error_cannot_control_the_terminal(run: Run, tmp_path: Path) -> None:
    """Nor break a line."""
    log = EventLog()
    log.append(Event("AssetSetComputeError", NOW, None, hour(1), Failure("E", "\x1b[2J\n" + "long " * 99, "save")))
    (tmp_path / "log.json").write_text(log.document().to_json(), encoding="utf-8")
    out = run("coverage", "--window", RANGE, str(tmp_path / "log.json")).out
    (line,) = (line for line in out.splitlines() if "E:" in line)
    assert "asset save: E: \\u001b[2J\\nlong long" in line
    assert len(line) == 160
    assert line.endswith("...")


def test_long_list_of_problems_is_shortened(run: Run, tmp_path: Path) -> None:
    log = EventLog()
    for number in range(24):
        log.append(Event("AssetSetSaved", ended(hour(number), 5), number % 2, hour(number)))
    (tmp_path / "log.json").write_text(log.document().to_json(), encoding="utf-8")
    out = run("coverage", "--window", "2024-09-02", str(tmp_path / "log.json")).out
    assert out.count(": size 0\n") == 10
    assert out.endswith("  and 2 more; --json lists all\n")


def test_windows_with_one_problem_are_one_line(run: Run, tmp_path: Path) -> None:
    """Consecutive windows that failed with the same error."""
    log = EventLog()
    for number in (1, 2, 3, 5):
        log.append(Event("AssetSetReconcileError", ended(hour(number), 5), None, hour(number), DIFFERS))
    (tmp_path / "log.json").write_text(log.document().to_json(), encoding="utf-8")
    out = run("coverage", "--window", "2024-09-02", str(tmp_path / "log.json")).out
    assert out.partition("\nfailed\n")[2].partition("\n\n")[0].splitlines() == [
        "  2024-09-02T05:00Z/1h  asset reconcile: costs.Differs: the bill says 12 USD",
        "  2024-09-02T01:00Z/3h  asset reconcile: 3 windows: costs.Differs: the bill says 12 USD",
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--window", "7x"], ("'7x'", "2024-09-02")),
        (["--resolution", "weekly"], ("'weekly'", "hourly, daily, monthly", "15m")),
        (["--resolution", "0h"], ("'0h'", "15m")),
        (["--grace", "soon"], ("'soon'", "2h")),
        (["--grace", "P1M"], ("'P1M'", "2h")),
        (["--operation", "saved"], ("'saved'", "save")),
        (["--json", "--missing"], ("--json", "--missing")),
        (["--json", "--failed"], ("--json", "--failed")),
        (["--each"], ("--each", "--missing", "--failed")),
        (["--window", "2030-01"], ("2030-01-01", "in the past", "7d")),
    ],
)
def test_wrong_argument_is_named_with_the_remedy(
    run: Run, saved: str, options: list[str], expected: tuple[str, ...]
) -> None:
    ran = run("coverage", *options, saved)
    assert (ran.code, ran.out) == (2, "")
    assert [text for text in expected if text not in ran.err] == []


@pytest.mark.parametrize(
    ("options", "others"),
    [
        (["--etl", "alocation"], "allocation save hourly, allocation reconcile hourly, asset save hourly"),
        (["--etl", "asset", "--etl", "aset"], "allocation save hourly, allocation reconcile hourly, asset save hourly"),
        (["--operation", "total"], "allocation save hourly, allocation reconcile hourly, asset save hourly"),
        (["--resolution", "daily"], "hourly"),
    ],
)
def test_selection_that_nothing_has_is_an_error(run: Run, saved: str, options: list[str], others: str) -> None:
    """A typing error must not look like success."""
    ran = run("coverage", "--window", RANGE, "--missing", *options, saved)
    assert (ran.code, ran.out) == (1, "")
    assert f"it has {others}\n" in ran.err


def test_source_that_cannot_be_read_is_an_error(run: Run, tmp_path: Path) -> None:
    ran = run("coverage", "--missing", str(tmp_path / "no.json"))
    assert (ran.code, ran.out) == (1, "")
    assert "no.json" in ran.err
