"""`otel_kcevents.testing`: which events a capture gets, what it leaves as it was, and its assertions."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import datetime, timezone
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from conftest import run_program
from telemetry import Telemetry, metric_values

from otel_kcevents import EventLogProcessor, RecordSet, allocation, asset, default_log, respond, run
from otel_kcevents.model.event import Event, Failure
from otel_kcevents.store.log import EventLog
from otel_kcevents.store.run import current_run
from otel_kcevents.testing import CapturedEvents, capture

LOG_FILE = "OTEL_PYTHON_KCEVENTS_LOG_FILE"
HOUR = "2024-09-18T22:00:00Z,2024-09-18T23:00:00Z"


@pytest.fixture
def kcevents() -> Iterator[CapturedEvents]:
    with capture() as captured:
        yield captured


def kinds(captured: CapturedEvents) -> list[str]:
    return [event.kind for event in captured.events]


def fail(*, message: str = "no bill", **fields: Any) -> None:
    """Emit an error event."""
    fields = {"error": FileNotFoundError(message), "window": HOUR, **fields}
    allocation.emit("compute_error", **fields)


# What is captured


def test_events_are_captured_in_order(kcevents: CapturedEvents) -> None:
    allocation.emit("saved", size=3)
    asset.emit("saved", size=4)
    allocation.emit("loaded", size=5)
    assert [event.size for event in kcevents.events] == [3, 4, 5]
    assert kcevents.counts == {"AllocationSetLoaded": 1, "AllocationSetSaved": 1, "AssetSetSaved": 1}
    assert repr(kcevents) == f"CapturedEvents({kcevents.counts!r})"


def test_cleared_events_are_forgotten(kcevents: CapturedEvents) -> None:
    asset.emit("saved", size=3)
    kcevents.clear()
    asset.emit("loaded", size=4)
    assert kcevents.counts == {"AssetSetLoaded": 1}


def test_events_of_every_log_are_captured(kcevents: CapturedEvents, telemetry: Telemetry) -> None:
    telemetry.asset.emit("saved", size=3)
    RecordSet("cloudCost", "CloudCostSet", log=EventLog()).emit("saved", size=4)
    assert kinds(kcevents) == ["AssetSetSaved", "CloudCostSetSaved"]


def test_event_of_two_logs_is_captured_once(kcevents: CapturedEvents, telemetry: Telemetry) -> None:
    """Both the recorder and two processors append the events of a span, of which two have the same time."""
    provider: Any = telemetry.tracer_provider
    for log in (default_log, EventLog()):
        provider.add_span_processor(EventLogProcessor(log))
    telemetry.asset.emit("saved", size=3)
    with telemetry.tracer.start_as_current_span("by hand") as span:
        for size in (4, 5):
            span.add_event("AssetSetLoaded", {"kcevents.size": size}, 10**18)
    assert [event.size for event in kcevents.events] == [3, 4, 5]


@pytest.mark.parametrize("start", [lambda run: Thread(target=run), None], ids=["thread", "pool"])
def test_events_of_other_threads_are_captured(
    kcevents: CapturedEvents, start: Callable[[Callable[[], None]], Thread] | None
) -> None:
    def emit() -> None:
        asset.emit("saved", size=3)

    if start is None:
        with ThreadPoolExecutor() as pool:
            pool.submit(emit)
    else:
        thread = start(emit)
        thread.start()
        thread.join()
    assert kinds(kcevents) == ["AssetSetSaved"]


def test_inner_capture_gets_the_events(kcevents: CapturedEvents) -> None:
    with capture() as inner:
        fail()
    asset.emit("saved", size=3)
    assert kinds(inner) == ["AllocationSetComputeError"]
    assert kinds(kcevents) == ["AssetSetSaved"]
    kcevents.assert_no_errors()


def test_captures_in_two_threads_are_apart() -> None:
    """Only the events of threads without a capture are in both."""
    barrier = Barrier(3)

    def test(size: int) -> CapturedEvents:
        with capture() as captured:
            barrier.wait()
            asset.emit("saved", size=size)
            barrier.wait()
            barrier.wait()
        return captured

    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(test, size) for size in (3, 4)]
        barrier.wait()
        barrier.wait()
        asset.emit("loaded", size=5)
        barrier.wait()
        assert [[event.size for event in run.result().events] for run in runs] == [[3, 5], [4, 5]]


def test_captures_of_two_tasks_are_apart() -> None:
    async def test(size: int) -> CapturedEvents:
        with capture() as captured:
            await asyncio.sleep(0)
            asset.emit("saved", size=size)
            await asyncio.to_thread(asset.emit, "loaded", size=size)
        return captured

    async def both() -> list[CapturedEvents]:
        return list(await asyncio.gather(test(3), test(4)))

    assert [[event.size for event in captured.events] for captured in asyncio.run(both())] == [[3, 3], [4, 4]]


def test_captures_may_end_in_any_order() -> None:
    outer, inner = ExitStack(), ExitStack()
    first, second = outer.enter_context(capture()), inner.enter_context(capture())
    outer.close()
    asset.emit("saved", size=3)
    inner.close()
    assert (kinds(first), kinds(second)) == ([], ["AssetSetSaved"])
    with capture() as third:
        asset.emit("saved", size=4)
    assert third.counts == {"AssetSetSaved": 1}


def test_generator_that_is_closed_later_is_not_captured() -> None:
    @asset.load
    def load(window: str) -> Iterator[int]:
        yield from (1, 2)

    with capture() as later:
        with capture() as captured:
            rows = load("2024-09-18")
            next(rows)
        rows.close()  # type: ignore[attr-defined]
    assert (kinds(captured), kinds(later)) == ([], ["AssetSetLoaded"])


# What stays as it was


def test_log_shows_the_events_of_the_test(kcevents: CapturedEvents) -> None:
    asset.emit("saved", size=3)
    assert default_log.counts() == kcevents.counts
    answer = json.loads(respond("GET", "/model/etl/log", "").body)
    assert [event["metadata"] for event in answer["data"]["asset"]] == [{"size": 3}]


def test_log_and_its_consumers_are_as_before(telemetry: Telemetry) -> None:
    consumed: list[Event] = []
    telemetry.log.attach(lambda event, *_: consumed.append(event))
    telemetry.asset.emit("saved", size=3)
    before = telemetry.log.document()
    with capture():
        telemetry.asset.emit("saved", size=4)
    assert telemetry.log.document() == before
    assert [event.size for event in consumed] == [3]


@pytest.mark.parametrize("name", ["events", "records", "last_event.timestamp", "last_window_end.timestamp"])
def test_metric_is_as_before(telemetry: Telemetry, name: str) -> None:
    telemetry.asset.emit("saved", size=3, window=HOUR)
    before = metric_values(telemetry.reader, f"kubecost.etl.{name}")
    with capture():
        assert metric_values(telemetry.reader, f"kubecost.etl.{name}") == {}
        telemetry.asset.emit("saved", size=4, window="2024-09-19T22")
        telemetry.allocation.emit("saved", size=4, window="2024-09-19T22")
        assert len(metric_values(telemetry.reader, f"kubecost.etl.{name}")) == 2
    assert metric_values(telemetry.reader, f"kubecost.etl.{name}") == before
    assert len(before) == 1


def test_run_is_as_before() -> None:
    before = current_run()
    with capture(), suppress(ValueError), run("nightly"):
        assert current_run().name == "nightly"
        raise ValueError("no bill")
    assert current_run() == before


def test_spans_go_to_the_provider_as_usual(kcevents: CapturedEvents, telemetry: Telemetry) -> None:
    telemetry.asset.emit("saved", size=3)
    assert [span.name for span in telemetry.spans] == ["save AssetSet"]


def test_journal_of_the_environment_is_not_used(tmp_path: Path) -> None:
    """Neither by `configure()` in a test, nor by the processes that it starts."""
    journal = tmp_path / "production.db"
    printed = run_program("captured_processes", OTEL_PYTHON_KCEVENTS_LOG_FILE=str(journal))[0].splitlines()
    assert printed == ["forked: {}", "spawned: {}", f"after: {journal}"]
    assert not journal.exists()


def test_variables_of_the_journal_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LOG_FILE, "production.db")
    with capture():
        assert LOG_FILE not in os.environ
        monkeypatch.setenv(LOG_FILE, "test.db")
        with capture():
            assert os.environ[LOG_FILE] == "test.db"
    assert os.environ[LOG_FILE] == "production.db"


# Assertions


def test_emitted_event_is_returned(kcevents: CapturedEvents) -> None:
    for size in (3, 3, 4):
        asset.emit("saved", size=size, window=HOUR)
    assert kcevents.assert_emitted("AssetSetSaved", size=3, count=2) == kcevents.events[1]
    assert kcevents.assert_emitted("AssetSetSavedEvent") == kcevents.events[2]


@pytest.mark.parametrize(
    "fields",
    [
        {"window": HOUR},
        {"window": "2024-09-18T22"},
        {"window": (datetime(2024, 9, 18, 22), datetime(2024, 9, 18, 23, tzinfo=timezone.utc))},
        {"size": None},
        {"error": FileNotFoundError},
        {"error": OSError},
        {"error": "FileNotFoundError"},
        {"match": r"^no b\w+$"},
        {"operation": "save"},
        {"error": Exception, "match": "bill", "operation": "save", "size": ..., "window": ...},
    ],
    ids=str,
)
def test_event_with_these_fields_is_found(kcevents: CapturedEvents, fields: dict[str, Any]) -> None:
    fail(operation="save")
    kcevents.assert_emitted("AllocationSetComputeError", **fields)
    with pytest.raises(AssertionError, match="expected no AllocationSetComputeError"):
        kcevents.assert_not_emitted("AllocationSetComputeError", **fields)


@pytest.mark.parametrize(
    ("fields", "difference"),
    [
        ({"window": "2024-09-18"}, "window"),
        ({"window": None}, "window"),
        ({"size": 3}, "size"),
        ({"error": ValueError}, "error"),
        ({"error": "Error"}, "error"),
        ({"error": None}, "error"),
        ({"match": "^bill"}, "message"),
        ({"operation": "load"}, "operation"),
        ({"operation": None}, "operation"),
        ({"size": 3, "operation": "load"}, "size, operation"),
    ],
    ids=str,
)
def test_event_with_other_fields_is_not_found(
    kcevents: CapturedEvents, fields: dict[str, Any], difference: str
) -> None:
    fail(operation="save")
    kcevents.assert_not_emitted("AllocationSetComputeError", **fields)
    with pytest.raises(AssertionError, match=f"different {difference} +AllocationSetComputeError"):
        kcevents.assert_emitted("AllocationSetComputeError", **fields)


def test_error_is_found_by_its_name_without_the_module(kcevents: CapturedEvents) -> None:
    fail(error=json.JSONDecodeError("no JSON", "", 0))
    for error in (ValueError, "JSONDecodeError", "json.decoder.JSONDecodeError"):
        kcevents.assert_emitted("AllocationSetComputeError", error=error)
    allocation.emit("saved")
    kcevents.assert_emitted("AllocationSetSaved", error=None)
    kcevents.assert_not_emitted("AllocationSetSaved", match="")
    kcevents.assert_not_emitted("AllocationSetSaved", error="JSONDecodeError")


def test_failure_lists_the_closest_events_first(kcevents: CapturedEvents) -> None:
    fail(message="no\nbill", operation="save")
    no_operation = Failure("KeyError", "")
    default_log.append(Event("AllocationSetComputeError", 10**18, failure=no_operation))
    allocation.emit("loaded", size=3, window=HOUR)
    allocation.emit("saved", size=2, window=HOUR)
    with pytest.raises(AssertionError) as raised:
        kcevents.assert_emitted("AllocationSetSaved", size=3, window="2024-09-18T22")
    assert str(raised.value).splitlines() == [
        f"expected AllocationSetSaved size=3 window={HOUR}; emitted, the closest first:",
        f"  different size                AllocationSetSaved size=2 window={HOUR}",
        f"  different kind                AllocationSetLoaded size=3 window={HOUR}",
        f"  different kind, size          AllocationSetComputeError window={HOUR} operation=save"
        " error=FileNotFoundError: no bill",
        "  different kind, size, window  AllocationSetComputeError error=KeyError",
    ]


def test_failure_names_what_was_expected(kcevents: CapturedEvents) -> None:
    fail()
    with pytest.raises(AssertionError) as raised:
        kcevents.assert_emitted(
            "AllocationSetComputeError", size=None, window=None, error=OSError, match="b.ll", operation="save", count=2
        )
    expected = "size=None window=None error=OSError match='b.ll' operation=save"
    assert str(raised.value).startswith(f"expected 2 of AllocationSetComputeError {expected}, got 0; emitted")


def test_failure_marks_the_events_that_were_found(kcevents: CapturedEvents) -> None:
    for size in (3, 4, 3):
        asset.emit("saved", size=size)
    with pytest.raises(AssertionError, match="expected 1 of AssetSetSaved size=3, got 2") as raised:
        kcevents.assert_emitted("AssetSetSaved", size=3, count=1)
    assert [line.split()[0] for line in str(raised.value).splitlines()[1:]] == ["found", "found", "different"]


def test_failure_without_events_says_so(kcevents: CapturedEvents) -> None:
    with pytest.raises(AssertionError, match="expected AssetSetSaved; no event was emitted"):
        kcevents.assert_emitted("AssetSetSaved")


def test_failure_is_bounded(kcevents: CapturedEvents) -> None:
    for _ in range(23):
        fail(message="x" * 300)
    with pytest.raises(AssertionError) as raised:
        kcevents.assert_no_errors()
    first, *lines, last = str(raised.value).splitlines()
    assert (first, len(lines), last) == ("expected no errors; emitted:", 20, "  and 3 more")
    assert lines[0].endswith(" error=FileNotFoundError: " + "x" * 200 + "…")


@pytest.mark.parametrize(
    ("error", "message", "fields"),
    [
        (ValueError, "'AssetSetSavd' is not a kind; did you mean AssetSetSaved ", {"kind": "AssetSetSavd"}),
        (ValueError, "'?' is not a kind; did you mean AllocationSetSaved or ", {"kind": "?"}),
        (TypeError, "kind must be a string such as 'AllocationSetSaved', got None", {"kind": None}),
        (TypeError, "size must be an integer, .*, got True", {"size": True}),
        (TypeError, "size must be an integer, .*, got '3'", {"size": "3"}),
        (TypeError, "error must be an exception class or its name, got a ValueError", {"error": ValueError()}),
        (TypeError, "error must be an exception class or its name, got a type", {"error": int}),
        (ValueError, "'store' is not an operation; expected one of save", {"operation": "store"}),
        (ValueError, "window='2024-13-01': cannot convert '2024-13-01' to a Window", {"window": "2024-13-01"}),
        (ValueError, "window='yesterdy': cannot convert ", {"window": "yesterdy"}),
        (TypeError, "window=7: cannot convert 7 to a Window", {"window": 7}),
        (ValueError, "match must be a regular expression, got 'a .': missing .*re.escape", {"match": "a ("}),
        (ValueError, "count must be an integer of at least 1, got 0; use assert_not_emitted", {"count": 0}),
        (ValueError, "count must be an integer of at least 1, got True", {"count": True}),
    ],
    ids=str,
)
def test_invalid_expectation_is_refused(
    kcevents: CapturedEvents, error: type[Exception], message: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(error, match=message.replace("?", r"\?")):
        kcevents.assert_emitted(**{"kind": "AssetSetSaved", **fields})
