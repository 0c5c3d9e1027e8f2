"""The keys `fails_when`, `error`, `ignore` and `where` of an entry, and which values they compare."""

from __future__ import annotations

import sys
from collections.abc import Generator
from enum import Enum
from http import HTTPStatus
from pathlib import PurePosixPath
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

import pytest
from mapped import mapped
from telemetry import Telemetry, Warned

from otel_kcevents.record.paths import keep


class Hostile:
    """An object that fails the test if anything but its type is looked at."""

    def _refuse(self, *args: Any) -> NoReturn:
        pytest.fail("code of the program ran")

    __eq__ = __ne__ = __bool__ = __len__ = __hash__ = __getattr__ = __iter__ = _refuse
    __str__ = __repr__ = __format__ = __int__ = __float__ = __index__ = __fspath__ = __contains__ = _refuse

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return self._refuse()


class LazyRows(Hostile):
    """A hostile collection that is recognized as lazy by its name."""


class Cloud(str, Enum):
    """A provider, as many programs define it."""

    AWS = "aws"


def kind_of(result: Any, **options: Any) -> str:
    """Return how a call with this result is recorded: `loaded`, `failed` or `ignored`."""
    telemetry = Telemetry()

    def load(*args: Any) -> Any:
        return result

    mapped(telemetry, load, size=False, **options)()
    names = {"AllocationSetLoaded": "loaded", "AllocationSetComputeError": "failed"}
    return names[telemetry.kinds[0]] if telemetry.kinds else "ignored"


# fails_when: words


VALUES = [None, False, True, [], (), {}, "", b"", set(), range(0), 0, 1, 0.0, "false", "none", [0], object()]


@pytest.mark.parametrize(
    ("word", "failed"),
    [("none", VALUES[:1]), ("false", VALUES[1:2]), ("true", VALUES[2:3]), ("empty", VALUES[3:10])],
)
def test_word_is_compared_by_identity(word: str, failed: list[Any]) -> None:
    found = [value for value in VALUES if kind_of(value, fails_when=word) == "failed"]
    assert list(map(id, found)) == list(map(id, failed))


def test_words_mean_the_scalars_of_numpy() -> None:
    numpy: Any = pytest.importorskip("numpy")
    assert kind_of(numpy.False_, fails_when="false") == "failed"
    assert kind_of(numpy.array(False), fails_when="false") == "failed"
    assert kind_of(numpy.array([False]), fails_when="false") == "loaded"
    assert kind_of(numpy.array([]), fails_when="empty") == "failed"
    assert kind_of(numpy.int64(0), fails_when="false") == "loaded"


def test_frames_are_empty_without_rows(warned: Warned) -> None:
    pandas: Any = pytest.importorskip("pandas")
    polars: Any = pytest.importorskip("polars")
    assert kind_of(pandas.DataFrame(), fails_when="empty") == "failed"
    assert kind_of(pandas.DataFrame({"a": [1]}), fails_when="empty") == "loaded"
    assert kind_of(polars.DataFrame(), fails_when="empty") == "failed"
    assert warned() == []


def test_lazy_set_is_not_computed_to_see_whether_it_is_empty(warned: Warned) -> None:
    polars: Any = pytest.importorskip("polars")
    frame = polars.LazyFrame({"a": [1]}).map_batches(lambda batch: pytest.fail("computed"))
    assert kind_of(frame, fails_when="empty") == kind_of(LazyRows(), fails_when="empty") == "loaded"
    assert all("fails_when is omitted" in message and "lazy" in message for message in warned())
    assert len(warned()) == 2


def test_expression_of_sqlalchemy_is_not_tested_for_truth() -> None:
    sqlalchemy: Any = pytest.importorskip("sqlalchemy")
    expression = sqlalchemy.column("cost") == 5
    for word in ("none", "false", "true"):
        assert kind_of(expression, fails_when=word) == "loaded"
    assert kind_of(expression, fails_when={"path": "return", "is": ["x", 1]}) == "loaded"


# fails_when: a path


@pytest.mark.parametrize(
    ("value", "expected", "outcome"),
    [
        ("failed", "failed", "failed"),
        ("Failed", "failed", "loaded"),
        (1, 1, "failed"),
        (True, 1, "loaded"),
        (1.0, 1, "loaded"),
        (1, 1.0, "loaded"),
        (1, True, "loaded"),
        (True, True, "failed"),
        (None, "none", "failed"),
        ([], "empty", "failed"),
        (3, [1, 2, 3], "failed"),
        (Cloud.AWS, "aws", "failed"),
        (HTTPStatus.INTERNAL_SERVER_ERROR, 500, "failed"),
        (type("Cost", (float,), {})(2.5), 2.5, "failed"),
        (PurePosixPath("a"), "a", "loaded"),
    ],
)
def test_value_of_a_path_has_the_type_and_the_value(value: Any, expected: Any, outcome: str) -> None:
    assert kind_of(SimpleNamespace(status=value), fails_when={"path": "return.status", "is": expected}) == outcome


def test_tuple_whose_last_item_is_false_is_a_failure(telemetry: Telemetry) -> None:
    def load(source: str) -> Any:
        return ("costs", ["day", "cost"], [], source != "bad")

    mapped(telemetry, load, fails_when={"path": "return[3]", "is": False}, size="return[1]")
    load("good")
    load("bad")
    assert telemetry.kinds == ["AllocationSetLoaded", "AllocationSetComputeError"]
    assert telemetry.events[1].failure == (
        "FailedResult",
        f"{__name__}.{load.__qualname__} returned a tuple of 4 items",
        "load",
    )


def test_failure_in_the_object_or_in_an_item(telemetry: Telemetry) -> None:
    class Job:
        state = "new"

        def run(self, tasks: Any) -> None:
            self.state = "failed"

    mapped(telemetry, Job.run, fails_when={"path": "self.state", "is": "failed"}, size="tasks")
    mapped(
        telemetry, Job.run, "asset.load", fails_when={"path": "tasks[*].state", "is": ["failed", "lost"]}, size="tasks"
    )
    Job().run([SimpleNamespace(state="done"), SimpleNamespace(state="lost")])
    Job().run(None)
    assert telemetry.kinds == [
        *["AllocationSetComputeError", "AssetSetComputeError"],
        "AllocationSetComputeError",
        "AssetSetLoaded",
    ]


def test_function_of_the_result_decides() -> None:
    named = "programs.mapped_functions:has_failed"
    assert kind_of({"state": "failed"}, fails_when=named) == "failed"
    assert kind_of({"state": "done"}, fails_when=named) == "loaded"


def test_path_that_the_result_does_not_have_warns_once(telemetry: Telemetry, warned: Warned) -> None:
    def load() -> Any:
        return [1, 2]

    mapped(telemetry, load, fails_when={"path": "return[3]", "is": False})
    load()
    load()
    (message,) = warned()
    assert message.startswith("kcevents.toml: functions[0].fails_when (costs.etl:step): ")
    assert telemetry.kinds == ["AllocationSetLoaded"] * 2


# error


class Report:
    """What a program returns instead of raising an exception."""

    def __init__(self, error: Any = None) -> None:
        self.error = error


def test_swallowed_exception_is_the_failure_of_a_reporter(telemetry: Telemetry) -> None:
    def report(message: str, exc: BaseException | None = None) -> None: ...

    mapped(telemetry, report, "allocation.compute", error="exc")
    report("fine")
    try:
        raise KeyError("usage_start")
    except KeyError as error:
        report("bad", error)
    assert telemetry.event.failure == ("KeyError", "'usage_start'", "compute")
    assert [event.name for event in telemetry.spans[1].events] == ["exception", "AllocationSetComputeError"]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "loaded"),
        (False, "loaded"),
        ("", "loaded"),
        ("  \n", "loaded"),
        ("no rows", "failed"),
        (OSError(5, "x"), "failed"),
    ],
)
def test_call_with_an_error_has_failed(error: Any, outcome: str) -> None:
    assert kind_of(Report(error), error="return.error") == outcome


def test_message_is_the_failure_without_secrets(telemetry: Telemetry) -> None:
    def load() -> Any:
        return Report("cannot open postgresql://etl:hunter2@db/costs \n")

    mapped(telemetry, load, error="return.error")()
    failure = telemetry.event.failure
    assert failure is not None
    assert (failure.type, failure.operation) == ("FailedResult", "load")
    assert failure.message.startswith("cannot open ")
    assert "hunter2" not in failure.message
    assert not failure.message.endswith("\n")


def test_first_error_of_a_list_is_the_failure(telemetry: Telemetry) -> None:
    def load() -> Any:
        return Report(["", None, ValueError("first"), "second"])

    mapped(telemetry, load, error="return.error[*]")()
    assert telemetry.event.failure == ("ValueError", "first", "load")


def test_error_is_the_detail_of_what_fails_when_finds(telemetry: Telemetry) -> None:
    def load(code: int, error: Any = None) -> Any:
        return SimpleNamespace(code=code, error=error)

    mapped(telemetry, load, size=False, fails_when={"path": "return.code", "is": 1}, error="return.error")
    load(0, "only a warning")
    load(1, "no rows")
    load(1)
    assert [event.failure and event.failure.message for event in telemetry.events][:2] == [None, "no rows"]
    assert telemetry.events[2].failure is not None
    assert telemetry.events[2].failure.message.endswith("returned a SimpleNamespace")


def test_other_value_of_error_warns(telemetry: Telemetry, warned: Warned) -> None:
    assert kind_of(Report(["a"]), error="return.error") == kind_of(Report(Hostile()), error="return.error") == "loaded"
    assert all("functions[0].error" in message for message in warned())
    assert "got a list of 1 item; add a step such as [*]" in warned()[0]


def test_exception_counts_rather_than_the_path_of_error(telemetry: Telemetry) -> None:
    def load(error: Any) -> None:
        raise ValueError("raised")

    mapped(telemetry, load, error="error")
    with pytest.raises(ValueError, match="raised"):
        load("message")
    assert telemetry.event.failure == ("ValueError", "raised", "load")


# ignore


class SkipException(Exception):
    """As a scheduler defines it."""


class SubclassOfSkip(SkipException):
    """As a program defines it."""


@pytest.mark.parametrize(
    ("name", "is_ignored"),
    [
        (f"{__name__}:SkipException", True),
        (f"{__name__}.SkipException", True),
        ("SkipException", True),
        (f"{__name__}:SubclassOfSkip", True),
        (["KeyError", "SubclassOfSkip"], True),
        ("other:SkipException", False),
        ("not.imported:SkipException", False),
        ("KeyError", False),
    ],
)
def test_exception_is_ignored_by_the_names_of_its_classes(telemetry: Telemetry, name: Any, is_ignored: bool) -> None:
    def load() -> None:
        raise SubclassOfSkip

    mapped(telemetry, load, ignore=name)
    with pytest.raises(SkipException):
        load()
    assert telemetry.kinds == [] if is_ignored else ["AllocationSetComputeError"]
    assert len(telemetry.spans) == 1
    assert "not.imported" not in sys.modules


def test_exception_is_ignored_by_a_name_that_a_module_exports(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `airflow.exceptions` exports classes that are defined elsewhere; its `__getattr__` is not called."""
    module: Any = ModuleType("scheduler.exceptions")
    module.Skip = SkipException
    module.__getattr__ = lambda name: pytest.fail("asked")
    monkeypatch.setitem(sys.modules, "scheduler.exceptions", module)

    def load() -> None:
        raise SkipException

    mapped(telemetry, load, ignore=["scheduler.exceptions:Retry", "scheduler.exceptions:Skip"])
    with pytest.raises(SkipException):
        load()
    assert telemetry.kinds == []


def test_swallowed_exception_may_be_ignored() -> None:
    assert kind_of(Report(KeyError("x")), error="return.error", ignore="LookupError") == "ignored"
    assert kind_of(Report("KeyError"), error="return.error", ignore="LookupError") == "failed"


# where


@pytest.mark.parametrize(
    ("value", "glob", "counts"),
    [
        ("aws-prod", "aws*", True),
        ("gcp", "aws*", False),
        ("gcp", ["aws*", "gcp"], True),
        (Cloud.AWS, "aws", True),
        (PurePosixPath("bills/aws.csv"), "*.csv", True),
        (3, "[1-3]", True),
        (2.5, "2.*", True),
        (True, "true", True),
        (False, "*e", True),
        (None, "*", False),
    ],
)
def test_where_matches_text(telemetry: Telemetry, value: Any, glob: Any, counts: bool) -> None:
    def load(name: Any) -> list[int]:
        return [1]

    mapped(telemetry, load, where={"name": glob})(value)
    assert len(telemetry.events) == len(telemetry.spans) == counts


def test_all_conditions_must_hold(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    class Reader:
        def __init__(self, name: str) -> None:
            self.name = name

        def read(self, rows: list[str]) -> list[str]:
            return rows

    where = {"self.name": "aws*", "rows[*]": "2022*", "env.MODE": "full", "kept.cloud": "a*"}
    mapped(telemetry, Reader.read, where=where)
    monkeypatch.setenv("MODE", "full")
    keep("cloud", "aws")
    Reader("aws").read(["2021", "2022"])
    Reader("gcp").read(["2022"])
    Reader("aws").read(["2021"])
    Reader("aws").read([])
    keep("cloud", None)
    Reader("aws").read(["2022"])
    keep("cloud", "aws")
    monkeypatch.delenv("MODE")
    Reader("aws").read(["2022"])
    assert len(telemetry.events) == len(telemetry.spans) == 1


def test_condition_that_cannot_be_read_is_not_met(telemetry: Telemetry, warned: Warned) -> None:
    def load(job: Any) -> list[int]:
        return []

    mapped(telemetry, load, where={"job.name": "*"})
    for _ in range(2):
        load(SimpleNamespace())
        load(SimpleNamespace(name=Hostile()))
    (message,) = warned()
    assert message.startswith("kcevents.toml: functions[0].where (costs.etl:step): ")
    assert telemetry.events == []


def test_unrecorded_call_is_unchanged(telemetry: Telemetry) -> None:
    """Generators and coroutines too: they have no span, and what they return and raise is their own."""

    def items(name: str) -> Generator[int, int, None]:
        received = yield 1
        yield received

    mapped(telemetry, items, where={"name": "aws"})
    run = items("gcp")
    assert (next(run), run.send(5)) == (1, 5)
    with pytest.raises(KeyError):
        run.throw(KeyError)
    assert telemetry.spans == []


# Nothing foreign is looked at


def test_hostile_objects_run_no_code(telemetry: Telemetry) -> None:
    """As arguments, results, attributes and items, with every key."""

    def load(self: Any, *args: Any, **kwargs: Any) -> Any:
        return args[0]

    mapped(
        telemetry,
        load,
        size=False,
        window="self.window",
        fails_when={"path": "return", "is": ["none", "false", "true", "x", 1, 1.5]},
        error="self.error",
        keep={"last": "return", "first": "args[0]"},
        ignore=["KeyError"],
        where={"self.name": "aws"},
        within="*",
    )
    hostile = Hostile()
    holder = SimpleNamespace(window=None, error=None, name="aws")
    assert load(holder, hostile, LazyRows(), key=hostile) is hostile
    assert telemetry.kinds == ["AllocationSetLoaded"]


def test_hostile_exception_is_recorded(telemetry: Telemetry) -> None:
    class HostileError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

        __eq__ = __bool__ = __hash__ = Hostile._refuse

    def load() -> None:
        raise HostileError

    mapped(telemetry, load, ignore=["KeyError"])
    with pytest.raises(HostileError):
        load()
    assert telemetry.event.failure is not None


def test_module_that_raises_does_not_disturb_ignore(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, warned: Warned
) -> None:
    class LazyModule:
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError("not loaded")

    monkeypatch.setitem(sys.modules, "lazy_costs", LazyModule())

    def load() -> None:
        raise KeyError("day")

    mapped(telemetry, load, ignore=["lazy_costs:Skip"])
    with pytest.raises(KeyError):
        load()
    assert telemetry.kinds == ["AllocationSetComputeError"]
    (message,) = warned()
    assert message.startswith("kcevents.toml: functions[0].ignore (costs.etl:step): ")


def test_arrays_and_frames_are_accepted_in_every_key(telemetry: Telemetry, warned: Warned) -> None:
    numpy: Any = pytest.importorskip("numpy")
    pandas: Any = pytest.importorskip("pandas")

    def load(rows: Any) -> Any:
        return rows

    mapped(
        telemetry,
        load,
        fails_when={"path": "return", "is": ["none", "false", "empty", "x", 1]},
        keep={"rows": "return"},
    )
    for rows in (numpy.zeros((3, 2)), pandas.DataFrame({"a": [1, 2, 3]}), pandas.Series([1.5, None, 2])):
        load(rows)
    assert [(event.kind, event.size) for event in telemetry.events] == [("AllocationSetLoaded", 3)] * 3
    assert warned() == []
