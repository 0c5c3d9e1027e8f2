"""Pickles and copies of decorated functions, sets, operations and logs."""

from __future__ import annotations

import copy
import functools
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from conftest import clean_environment, run_program
from telemetry import DAY, Telemetry, Warned, in_threads

from otel_kcevents import (
    EventLogProcessor,
    Window,
    allocation,
    asset,
    default_log,
)

cloudpickle = pytest.importorskip("cloudpickle", reason="pip install cloudpickle to run these")


def pickled(protocol: int) -> Callable[[Any], Any]:
    return lambda value: pickle.loads(pickle.dumps(value, protocol))


def by_value(value: Any) -> Any:
    return cloudpickle.loads(cloudpickle.dumps(value))


ROUNDS = pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy, *map(pickled, range(2, 6)), by_value],
    ids=["copy", "deepcopy", "protocol 2", "protocol 3", "protocol 4", "protocol 5", "cloudpickle"],
)


@asset.load
def load_assets(window: str) -> list[str]:
    return ["disk"]


def is_empty(rows: list[str]) -> bool:
    return not rows


def load_day(day: Window) -> list[Window]:
    return [day]


BY_VALUE = {
    "recursive": ["AllocationSetLoaded 0", "AllocationSetLoaded 1", "AllocationSetLoaded 2"],
    "original of a recursive one": ["AllocationSetLoaded 0", "AllocationSetLoaded 1"],
    "mutually recursive": ["AllocationSetLoaded 0", "AssetSetLoaded 10", "AllocationSetLoaded 2"],
    "original of a mutually recursive one": ["AssetSetLoaded 0", "AllocationSetLoaded 1"],
    "closure": ["AllocationSetLoaded 3"],
    "default argument": ["AllocationSetLoaded 0", "AllocationSetLoaded 1", "AllocationSetLoaded 2"],
    "bound method": ["AssetSetLoaded 2"],
    "bound method that saves": ["AssetSetSaved 3"],
    "class method": ["AllocationSetLoaded 1"],
    "nested decorators": ["AllocationSetLoaded 2", "AssetSetAggregated 2"],
    "keyword-only default": ["AllocationSetLoaded 3"],
    "partial of a decorated function": ["AllocationSetLoaded 1"],
    "callable object": ["AllocationSetLoaded 0", "AllocationSetLoaded 2"],
    "original of a callable object": ["AllocationSetLoaded 0"],
    "method of an object": ["AssetSetLoaded 2"],
    "partial": ["AssetSetLoaded 0", "AssetSetLoaded 2"],
    "original of a partial": ["AssetSetLoaded 0"],
    "function under another name": ["AllocationSetLoaded 0", "AllocationSetLoaded 1"],
    "function decorated later": ["AllocationSetLoaded 0", "AllocationSetLoaded 1"],
    "coroutine": ["AllocationSetLoaded 2"],
    "generator": ["AllocationSetLoaded 2"],
    "async generator": ["AllocationSetLoaded 3"],
    "block of a kept operation": ["AssetSetSaved 7"],
    "function that decorates": ["AllocationSetLoaded 2"],
    "function decorated with a kept operation": ["AllocationSetLoaded 2"],
    "set with a log of its own": ["CloudCostSetLoaded 2"],
    "span processor": ["CloudCostSetSaved None", "CloudCostSetLoaded 1"],
}
"""The event of each function of `programs/by_value.py` in the process that receives it."""


CLASSES = {
    *("bound method", "bound method that saves", "class method"),
    *("callable object", "original of a callable object", "method of an object"),
}


@pytest.fixture(scope="module")
def recorded_elsewhere() -> dict[str, list[str]]:
    out, err = run_program("by_value")
    assert err == ""
    recorded: dict[str, list[str]] = json.loads(out)
    assert recorded.keys() == BY_VALUE.keys()
    return recorded


@pytest.mark.parametrize("name", BY_VALUE)
def test_function_sent_by_value_records_in_the_receiver(name: str, recorded_elsewhere: dict[str, list[str]]) -> None:
    assert recorded_elsewhere[name] == BY_VALUE[name]


def test_dask_tokens_are_the_same_in_every_process() -> None:
    """Except for classes of a script, which get an id, and for logs other than the default log."""
    pytest.importorskip("dask", reason="pip install dask to run these")
    runs = [json.loads(run_program("by_value", "tokens", PYTHONHASHSEED=str(seed))[0]) for seed in (1, 2)]
    unstable = {*CLASSES, "set with a log of its own", "span processor"}
    first, second = ({name: run[name] for name in run.keys() - unstable} for run in runs)
    assert first == second
    assert first.pop("closure") == first.pop("again")
    assert len(set(first.values())) == len(first)


@ROUNDS
@pytest.mark.parametrize(
    "value", [allocation, asset, default_log, load_assets], ids=["set", "other set", "log", "function"]
)
def test_global_object_is_unpickled_as_itself(value: object, again: Callable[[Any], Any]) -> None:
    assert again(value) is value


@ROUNDS
def test_set_and_log_unpickle_as_themselves_in_their_process(telemetry: Telemetry, again: Callable[[Any], Any]) -> None:
    assert again(telemetry.allocation) is telemetry.allocation
    assert again(telemetry.log) is telemetry.log
    assert again(EventLogProcessor(telemetry.log)).log is telemetry.log


def test_copy_by_value_records_like_the_function(telemetry: Telemetry) -> None:
    load = telemetry.allocation.load(lambda window: [1, 2])
    by_value(load)(DAY)
    assert (telemetry.event.size, telemetry.event.window) == (2, DAY)
    assert telemetry.span_event.name == "AllocationSetLoaded"


@pytest.mark.parametrize("again", [pickled(2), copy.deepcopy, by_value], ids=["pickle", "deepcopy", "cloudpickle"])
def test_operation_keeps_its_arguments(telemetry: Telemetry, again: Callable[[Any], Any]) -> None:
    operation = again(telemetry.asset.load(window="day", size="result[rows]", ignore=LookupError, fails_when=is_empty))
    load = operation(lambda day: {"rows": [1, 2, 3]} if day else {}[day])
    load(DAY)
    assert (telemetry.event.size, telemetry.event.window) == (3, DAY)
    with pytest.raises(LookupError):
        load(None)
    assert operation(lambda day: [])(DAY) == []
    assert telemetry.log.counts() == {"AssetSetComputeError": 1, "AssetSetLoaded": 1}


def test_pickled_operation_ignores_the_same_exceptions(telemetry: Telemetry) -> None:
    load = pickle.loads(pickle.dumps(telemetry.asset.load(ignore=(ValueError, OSError))))
    with pytest.raises(ValueError, match="gone"):
        load(lambda: int("gone"))()
    assert (telemetry.events, len(telemetry.spans)) == ([], 1)


def test_copies_of_an_operation_are_separate_blocks(telemetry: Telemetry) -> None:
    save = telemetry.asset.save(window=DAY)
    for operation in (save, copy.copy(save), pickle.loads(pickle.dumps(save))):
        with operation as op:
            op.size = 1
    assert len(telemetry.events) == 3
    with pytest.raises(TypeError, match="needs the parentheses"), copy.copy(telemetry.asset.save):
        pass


def test_copy_of_a_scope_has_only_its_values(telemetry: Telemetry) -> None:
    with telemetry.asset.save(window=DAY, size=1) as op:
        other = pickle.loads(pickle.dumps(op))
        other.size = 2
    assert (other.window, other.size, telemetry.event.size) == (DAY, 2, 1)


def test_copies_of_a_function_warn_once(telemetry: Telemetry, warned: Warned) -> None:
    """A worker unpickles a function for each of its tasks."""
    data = cloudpickle.dumps(telemetry.asset.load(lambda: 5))
    for _ in range(2):
        load = cloudpickle.loads(data)
        assert (load(), load()) == (5, 5)
    assert len(warned()) == 1
    assert telemetry.log.counts() == {"AssetSetLoaded": 4}


def test_threads_share_an_unpickled_function(telemetry: Telemetry) -> None:
    load = by_value(telemetry.asset.load(lambda window: [1, 2]))
    in_threads(lambda number: [load(DAY) for _ in range(50)])
    assert telemetry.counters == {("asset", "AssetSetLoaded"): 400}
    assert {(event.size, event.window) for event in telemetry.events} == {(2, DAY)}


@pytest.mark.parametrize("make", [lambda load: load, functools.partial], ids=["function", "partial"])
def test_other_version_of_a_function_records_without_fields(
    telemetry: Telemetry, warned: Warned, monkeypatch: pytest.MonkeyPatch, make: Callable[..., Any]
) -> None:
    """A function that is sent by name may have other parameters in the receiving process."""
    data = cloudpickle.dumps(telemetry.asset.load(window="day")(make(load_day)))
    monkeypatch.setattr(sys.modules[__name__], "load_day", lambda month: [month])
    assert cloudpickle.loads(data)("2024-09") == ["2024-09"]
    assert (telemetry.event.kind, telemetry.event.size, telemetry.event.window) == ("AssetSetLoaded", None, None)
    (warning,) = warned()
    assert "'day'" in warning


def test_partial_with_attributes_in_a_partial_records(telemetry: Telemetry) -> None:
    inner = functools.partial(load_day)
    inner.region = "eu"  # type: ignore[attr-defined]  # Python does not merge such partials
    again = by_value(telemetry.asset.load(window="day")(functools.partial(inner, day=DAY)))
    assert (again(), again.__wrapped__.func.region, telemetry.event.window) == ([DAY], "eu", DAY)


TARGET = b"cotel_kcevents.record.target\ntarget_of\n(Vasset\nVAssetSet\ntR"
OWN_TARGET = b"cotel_kcevents.record.target\ntarget_of\n(Vasset\nVAssetSet\n(Vf0c1\nI17\nI1\nttR"
OPERATION = b"cotel_kcevents.record.operation\noperation_of\n(" + TARGET + b"Vload\nNtR"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"cotel_kcevents.record.record_set\nrecord_set_of\n(" + TARGET + b"tR.", asset),
        (b"cotel_kcevents.record.record_set\nrecord_set_of\n(" + OWN_TARGET + b"tR.", asset),
        (b"cotel_kcevents.store.log\ndefault_log\n.", default_log),
        (b"cotel_kcevents.store.log\nlog_of\n((Vf0c1\nI17\nI1\nttR.", default_log),
    ],
    ids=["set", "set with a log of its own", "default log", "log"],
)
def test_pickle_of_another_process_and_version_loads(data: bytes, expected: object) -> None:
    """A log, or a set with its own log or providers, becomes the default one of this process."""
    assert pickle.loads(data) is expected


@pytest.mark.parametrize(
    "data",
    [
        b"cotel_kcevents.record.operation\nrecording_again\n(" + OPERATION + b"cbuiltins\nsorted\ntR.",
        b"cotel_kcevents.record.operation\nfunction_again\n(" + OPERATION + b"cstatistics\nmultimode\ntR.",
        b"cotel_kcevents.record.operation\npartial_again\n("
        + OPERATION
        + b"cfunctools\npartial\n(cbuiltins\nsorted\ntRVplain\ntR.",
        b"cotel_kcevents.record.operation\ncallable_again\n(" + OPERATION + b"cbuiltins\nsorted\nVplain\n(ttR.",
    ],
    ids=["function", "function under another name", "partial", "callable object"],
)
def test_decorated_callable_of_another_version_records(data: bytes) -> None:
    before = default_log.counts().get("AssetSetLoaded", 0)
    assert sorted(pickle.loads(data)(["b", "a"])) == ["a", "b"]
    assert default_log.counts()["AssetSetLoaded"] == before + 1
    (newest, *_) = default_log.document(["AssetSetLoaded"]).lists["asset"]
    assert newest.size == 2


def test_operation_of_another_version_records() -> None:
    data = b"cotel_kcevents.record.operation\noperation_of\n(" + TARGET + b"Vload\n(dVwindow\nVday\nstR."
    pickle.loads(data)(lambda day: [day])(DAY)
    (newest, *_) = default_log.document(["AssetSetLoaded"]).lists["asset"]
    assert newest.window == DAY


RECEIVER = """
import pickle, sys
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from telemetry import counter_values
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
{setup}
value = pickle.load(sys.stdin.buffer)
{use}
print(counter_values(reader))
"""


def received(value: object, use: str, setup: str = "") -> tuple[str, str]:
    """Unpickle a value in another process; return its output, which ends with the values of the counter."""
    code = RECEIVER.format(setup=setup, use=use)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        input=pickle.dumps(value),
        env=clean_environment(),
        capture_output=True,
        check=True,
    )
    return done.stdout.decode(), done.stderr.decode()


def test_counter_has_the_events_of_an_unpickled_operation(telemetry: Telemetry) -> None:
    """The receiver has not imported the package before."""
    own = telemetry.record_set("cloudCost", "CloudCostSet")
    assert received(own.load, "value(lambda: [1])()") == ("{('cloudCost', 'CloudCostSetLoaded'): 1}\n", "")


def test_set_with_a_name_in_use_gets_its_own_log(telemetry: Telemetry) -> None:
    own = telemetry.record_set("cloudCost", "CloudCostSet")
    out, err = received(
        [pickle.dumps(own), pickle.dumps(own)],
        "a, b = map(pickle.loads, value); a.emit('saved'); b.emit('saved'); print(a is b, a.log.counts())",
        "import otel_kcevents; otel_kcevents.RecordSet('cloudCost', 'OtherSet')",
    )
    assert out.splitlines() == ["True {'CloudCostSetSaved': 2}", "{('cloudCost', 'CloudCostSetSaved'): 2}"]
    assert err.count("is already taken") == 1
