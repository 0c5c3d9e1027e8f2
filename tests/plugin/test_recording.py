"""From an entry of a mapping to the events of a function: call shapes, `size`, `keep`, defaults, problems."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextvars import copy_context
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import run_program
from hypothesis import given, settings
from hypothesis import strategies as st
from mapped import mapped
from telemetry import DAY, Pause, Telemetry, Warned

from otel_kcevents.plugin.problem import OptionError
from otel_kcevents.record.paths import keep
from otel_kcevents.record.shim import inner_of

# Call shapes


class Loader:
    """A class of a program: each method has another shape."""

    window = "2022-06-03"

    def method(self, count: int) -> list[int]:
        """Return items, or raise."""
        return [1] * count if count >= 0 else self._fail()

    @classmethod
    def of_class(cls, count: int) -> list[int]:
        """Return items, or raise."""
        return [1] * count if count >= 0 else cls._fail()

    @staticmethod
    def static(count: int) -> list[int]:
        """Return items, or raise."""
        return [1] * count if count >= 0 else Loader._fail()

    async def coroutine(self, count: int) -> list[int]:
        """Return items, or raise."""
        await Pause()
        return self.method(count)

    def awaitable(self, count: int) -> Awaitable[list[int]]:
        """Return a coroutine."""
        return self.coroutine(count)

    def items(self, count: int) -> Generator[int, Any, str]:
        """Yield items, or raise."""
        for _ in range(count) if count >= 0 else self._fail():
            yield 1
        return "done"

    def generator(self, count: int) -> Iterator[int]:
        """Return a generator."""
        return self.items(count)

    async def async_items(self, count: int) -> AsyncIterator[int]:
        """Yield items, or raise."""
        for _ in range(count) if count >= 0 else self._fail():
            await Pause()
            yield 1

    @staticmethod
    def _fail() -> Any:
        raise ValueError("no rows")


def call(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function of any shape, and return its result or its items."""

    async def collect(result: Any) -> Any:
        return [item async for item in result] if inspect.isasyncgen(result) else await result

    result = function(*args)
    if inspect.isawaitable(result) or inspect.isasyncgen(result):
        return asyncio.run(collect(result))
    return [*result]


SHAPES = ["method", "of_class", "static", "coroutine", "awaitable", "items", "generator", "async_items"]


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_records_success_and_failure(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    held = vars(Loader)[name]
    function = getattr(held, "__func__", held)
    code = function.__code__
    try:
        mapped(telemetry, function, window="env.DAY", where={"count": "*"}, ignore="KeyError")
        monkeypatch.setenv("DAY", "2022-06-03")
        assert call(getattr(Loader(), name), 3) == [1, 1, 1]
        with pytest.raises(ValueError, match="no rows"):
            call(getattr(Loader(), name), -1)
    finally:
        function.__code__ = code
    assert [(event.kind, event.size, event.window) for event in telemetry.events] == [
        ("AllocationSetLoaded", 3, DAY),
        ("AllocationSetComputeError", None, DAY),
    ]


def test_nested_and_recursive_calls_have_nested_spans(telemetry: Telemetry) -> None:
    def load(depth: int) -> list[int]:
        return [*load(depth - 1), depth] if depth else []

    mapped(telemetry, load)(2)
    assert [event.size for event in telemetry.events] == [0, 1, 2]
    inner, middle, outer = telemetry.spans
    assert inner.parent is not None
    assert middle.parent is not None
    assert (inner.parent.span_id, middle.parent.span_id) == (middle.context.span_id, outer.context.span_id)


def test_generator_receives_what_is_sent_and_thrown(telemetry: Telemetry) -> None:
    def items() -> Generator[Any, Any, str]:
        received = yield "first"
        try:
            yield received
        except KeyError:
            yield "caught"
        return "result"

    mapped(telemetry, items, fails_when={"path": "return", "is": "result"})
    run = items()
    assert [next(run), run.send("sent"), run.throw(KeyError)] == ["first", "sent", "caught"]
    with pytest.raises(StopIteration, match="result"):
        next(run)
    assert telemetry.kinds == ["AllocationSetComputeError"]


def test_generator_closed_early_is_not_a_failure(telemetry: Telemetry) -> None:
    """Its result is not known, so `fails_when` and `keep` have nothing to look at."""

    def items() -> Iterator[int]:
        yield from range(5)

    mapped(telemetry, items, fails_when="none", keep={"last": "return"})
    keep("last", "before")
    run = items()
    assert [next(run), next(run)] == [0, 1]
    run.close()  # type: ignore[attr-defined]
    assert (telemetry.event.kind, telemetry.event.size) == ("AllocationSetLoaded", 2)


def test_generator_of_lazy_batches_is_not_computed(telemetry: Telemetry, warned: Warned) -> None:
    polars: Any = pytest.importorskip("polars")

    def batches() -> Iterator[Any]:
        for day in ("2022-06-03T00/PT1H", "2022-06-03T23/PT1H"):
            frame = polars.LazyFrame({"a": [1]}).map_batches(lambda batch: pytest.fail("computed"))
            yield SimpleNamespace(day=day, frame=frame)

    mapped(telemetry, batches, size=False, window="yield.day", keep={"first": "kept.nothing"})
    assert len([*batches()]) == 2
    assert (telemetry.event.window, telemetry.event.size, warned()) == (DAY, None, [])


def test_lazy_items_have_no_size(telemetry: Telemetry, warned: Warned) -> None:
    polars: Any = pytest.importorskip("polars")

    def batches() -> Iterator[Any]:
        yield polars.LazyFrame({"a": [1]})

    mapped(telemetry, batches, size="yield")
    assert len([*batches()]) == 1
    assert telemetry.event.size is None
    (message,) = warned()
    assert message.startswith("kcevents.toml: functions[0].size (costs.etl:step): ")


def test_wrong_arguments_raise_at_the_call(telemetry: Telemetry) -> None:
    mapped(telemetry, one_argument, where={"value": "*"})
    with pytest.raises(TypeError, match="one_argument"):
        one_argument()  # type: ignore[call-arg]
    assert telemetry.spans == []


def one_argument(value: Any) -> list[int]:
    """Return an empty list."""
    return []


def test_unrecorded_coroutine_can_be_cancelled(telemetry: Telemetry) -> None:
    async def load(name: str) -> None:
        await asyncio.sleep(60)

    async def run() -> None:
        task = asyncio.ensure_future(load("gcp"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    mapped(telemetry, load, where={"name": "aws"})
    asyncio.run(run())
    assert telemetry.spans == []


def test_unrecorded_async_generator_is_closed_by_the_loop(telemetry: Telemetry) -> None:
    """Once: the event loop must know the program's generator only."""
    closed = []

    async def items(name: str) -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            closed.append(name)

    async def run() -> Any:
        run = items("gcp")
        assert await anext(run) == 1
        return run

    mapped(telemetry, items, where={"name": "aws"})
    held = asyncio.run(run())
    assert (closed, telemetry.spans) == (["gcp"], [])
    del held


# size


def test_attribute_that_the_call_sets_grows_from_zero(telemetry: Telemetry, warned: Warned) -> None:
    class Store:
        rows: Any

        def fill(self, count: int) -> None:
            self.rows = [*(getattr(self, "rows", None) or ()), *range(count)]

    mapped(telemetry, Store.fill, size="+self.rows")
    store = Store()
    store.fill(2)
    store.fill(3)
    store.rows = None
    store.fill(4)
    assert ([event.size for event in telemetry.events], warned()) == ([2, 3, 4], [])


def test_growth_sums_the_items_of_each_part(telemetry: Telemetry) -> None:
    def fill(parts: dict[str, list[int]]) -> None:
        parts["a"].append(1)
        parts["b"] = [1, 2]

    mapped(telemetry, fill, size="+parts[*]")({"a": [1]})
    assert telemetry.event.size == 3


def test_growth_of_a_number_and_of_a_generator(telemetry: Telemetry) -> None:
    def items(state: Any) -> Iterator[str]:
        state.count += 10
        yield "only one"

    mapped(telemetry, items, size="+state.count")
    assert len([*items(SimpleNamespace(count=5))]) == 1
    assert telemetry.event.size == 10


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [([1], [], "-1 is not a size"), ("x", [], "is not a size"), ([], "x", "is not a size"), ([], None, "")],
)
def test_value_that_does_not_grow_has_no_size(
    telemetry: Telemetry, warned: Warned, before: Any, after: Any, problem: str
) -> None:
    def change(state: Any) -> None:
        state.rows = after

    mapped(telemetry, change, size="+state.rows")(SimpleNamespace(rows=before))
    assert telemetry.event.size is None
    assert [problem in message for message in warned()] == [True] * bool(problem)


@pytest.mark.parametrize("rows", [None, "missing"])
def test_generator_closed_early_may_not_have_grown(telemetry: Telemetry, warned: Warned, rows: Any) -> None:
    """What it was before the call is not its size."""

    def items(state: Any) -> Generator[int, None, None]:
        if rows is None:
            state.rows = None
        else:
            del state.rows
        yield 1

    mapped(telemetry, items, size="+state.rows")
    run = items(SimpleNamespace(rows=[1, 2, 3]))
    next(run)
    run.close()
    assert (telemetry.event.size, warned()) == (None, [])


def test_decorator_takes_growth_too(telemetry: Telemetry) -> None:
    @telemetry.allocation.save(size="+rows")
    def save(rows: list[int]) -> None:
        rows.append(1)

    save([1, 2, 3])
    assert telemetry.event.size == 1
    with pytest.raises(TypeError, match=r"'\+return' cannot be read before the call"):
        telemetry.allocation.load(size="+return")(lambda: None)


def test_size_of_a_save_is_read_before_the_call(telemetry: Telemetry) -> None:
    def save(batch: Any) -> None:
        batch.rows.clear()

    mapped(telemetry, save, "allocation.save", size="batch.rows")(SimpleNamespace(rows=[1, 2]))
    assert telemetry.event.size == 2


def test_omitted_keys_have_the_defaults_of_the_decorators(telemetry: Telemetry) -> None:
    """Also if a table names the window: the set of a save may be the object that holds it."""

    class Batch:
        window = DAY

        def __len__(self) -> int:
            return 7

    def save(batch: Batch) -> None: ...

    def write(rows: list[int], window: Any) -> None: ...

    mapped(telemetry, save, "allocation.save", window={"path": "batch.window", "read": "before"})(Batch())
    mapped(telemetry, write, "asset.save")([1, 2], DAY)
    assert [(event.size, event.window) for event in telemetry.events] == [(7, DAY), (2, DAY)]


# keep


def test_values_are_kept_when_the_call_begins_and_ends(telemetry: Telemetry) -> None:
    class Program:
        def start(self, date: str, mode: str = "full") -> str:
            return f"{date}/{mode}"

        def finish(self) -> list[int]:
            return [1]

    mapped(telemetry, Program.start, "allocation.compute", keep={"day": "date", "answer": "return"})
    mapped(telemetry, Program.finish, window="kept.day", where={"kept.answer": "2022*/full"})
    Program().finish()
    Program().start("2022-06-03")
    Program().finish()
    assert telemetry.event.window == DAY


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_can_only_keep(telemetry: Telemetry, name: str) -> None:
    """Such a call has no span, and a failure is not recorded."""
    held = vars(Loader)[name]
    function = getattr(held, "__func__", held)
    code = function.__code__

    def load() -> list[int]:
        return []

    mapped(telemetry, load, where={"kept.count": "2"})
    try:
        mapped(telemetry, function, None, keep={"count": "count"})

        def run() -> None:
            with pytest.raises(ValueError, match="no rows"):
                call(getattr(Loader(), name), -1)
            assert call(getattr(Loader(), name), 2) == [1, 1]

        copy_context().run(run)
    finally:
        function.__code__ = code
    assert (telemetry.spans, telemetry.events) == ([], [])


def test_call_that_a_path_makes_keeps_nothing(telemetry: Telemetry) -> None:
    class Job:
        def begin(self, day: str) -> str:
            return day

        @property
        def name(self) -> str:
            return self.begin("2022-06-04")

    def load(job: Job) -> list[int]:
        return []

    mapped(telemetry, Job.begin, None, keep={"day": "day"})
    mapped(telemetry, load, window="kept.day", where={"job.name": "*"})
    job = Job()
    job.begin("2022-06-03")
    load(job)
    assert telemetry.event.window == DAY


def test_item_that_a_path_requests_does_not_end_the_reading(telemetry: Telemetry) -> None:
    """The window of the item is read while the window of another call is read."""

    class Job:
        def items(self) -> Iterator[Any]:
            yield from [SimpleNamespace(day="2022-06-03")] * 2

        def find(self) -> str:
            return "2022-06-03"

        @property
        def day(self) -> str:
            return next(items).day and self.find()

    def load(job: Job) -> list[int]:
        return []

    mapped(telemetry, Job.items, window="yield.day")
    mapped(telemetry, Job.find, size=False)
    mapped(telemetry, load, window="job.day", size=False)
    job = Job()
    items = job.items()
    next(items)
    load(job)
    assert [event.window for event in telemetry.events] == [DAY]


def test_value_is_kept_in_the_task_of_the_call(telemetry: Telemetry) -> None:
    async def prepare(day: str) -> None:
        await Pause()

    async def load() -> list[int]:
        await Pause()
        return [1]

    async def task(day: str) -> None:
        await prepare(day)
        await load()

    async def run() -> None:
        await asyncio.gather(task("2022-06-03"), task("2022-06-04"))
        await load()

    mapped(telemetry, prepare, None, keep={"day": "day"})
    mapped(telemetry, load, window="kept.day")
    keep("day", None)
    asyncio.run(run())
    found = [event.window and event.window.start_text for event in telemetry.events]
    assert found == ["2022-06-03T00:00:00Z", "2022-06-04T00:00:00Z", None]


def test_value_that_cannot_be_kept_warns_once(telemetry: Telemetry, warned: Warned) -> None:
    def prepare(job: Any) -> None: ...

    mapped(telemetry, prepare, None, keep={"day": "job.day", "month": "job.month", "answer": "return.x"})
    for _ in range(3):
        prepare(object())
    assert [message.split()[1] for message in warned()] == ["functions[0].keep.day", "functions[0].keep.month"]


def test_value_that_cannot_be_kept_replaces_an_earlier_one(telemetry: Telemetry) -> None:
    def prepare(job: Any) -> None: ...

    def load() -> list[int]:
        return []

    mapped(telemetry, prepare, None, keep={"day": "job.day"})
    mapped(telemetry, load, window="kept.day")
    for job in (SimpleNamespace(day="2022-06-03"), object()):
        prepare(job)
        load()
    assert [event.window for event in telemetry.events] == [DAY, None]


def test_nothing_is_kept_alive_longer_than_the_call(telemetry: Telemetry) -> None:
    class Held:
        day = "2022-06-03"
        rows = (1, 2)

    def load(held: Any) -> Any:
        return Held()

    mapped(
        telemetry,
        load,
        window={"path": "held.day", "length": "1d"},
        size="return.rows",
        error="held.nothing",
        fails_when={"path": "return.day", "is": "x"},
        where={"held.day": "*"},
        keep={"day": "held.day"},
    )
    held = Held()
    refs = [weakref.ref(held), weakref.ref(load(held))]
    del held
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


def test_paths_are_read_once(telemetry: Telemetry) -> None:
    class Job:
        def __init__(self) -> None:
            self.reads: list[str] = []

        @property
        def day(self) -> str:
            self.reads.append("day")
            return "2022-06-03"

        @property
        def rows(self) -> list[int]:
            self.reads.append("rows")
            return [1]

        @property
        def state(self) -> str:
            self.reads.append("state")
            return "done"

        def run(self) -> None: ...

    fails_when = {"path": "self.state", "is": "x"}
    mapped(telemetry, Job.run, window={"path": "self.day", "length": "1d"}, size="self.rows", fails_when=fails_when)
    job = Job()
    job.run()
    assert job.reads == ["day", "state", "rows"]


# Any value


class Holder:
    """An object with an attribute."""

    def __init__(self, x: Any) -> None:
        self.x = x


PATHS = st.sampled_from(
    ["a", "a.x", "a[0]", "a[-1]", "a[k]", "a[*]", "a[*][k]", "a[0][*]", "kept.z", "args[0]", "kw[k]"]
)
TIMES = st.fixed_dictionaries(
    {"path": PATHS},
    optional={
        "match": st.sampled_from([r"\d+", r"(\d+)-(\d+)", "(?P<start>.)(?P<end>.)"]),
        "format": st.sampled_from(["%Y%m%d", "%Y-%m", "seconds", "milliseconds", "%Y%H"]),
        "length": st.sampled_from(["1d", "P1M", "P100000M"]),
        "read": st.just("after"),
    },
)
ENDS = st.fixed_dictionaries({"start": PATHS}, optional={"end": PATHS, "inclusive": st.booleans()})
EXPECTED = st.sampled_from(["none", "empty", "x", 1, False, 1.5, [1, "true"]])
CONDITIONS = st.one_of(
    st.fixed_dictionaries({"path": PATHS, "is": EXPECTED.filter(lambda expected: expected != "none")}),
    st.fixed_dictionaries({"path": PATHS.filter(lambda path: "[*]" not in path), "is": EXPECTED}),  # [*] omits None
)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "window": PATHS | st.lists(PATHS, min_size=2, max_size=2) | TIMES | ENDS,
        "size": PATHS | PATHS.map("+{}".format) | st.just(False),
        "fails_when": CONDITIONS | st.sampled_from(["none", "empty"]),
        "error": PATHS,
        "keep": st.dictionaries(st.sampled_from("yz"), PATHS, max_size=2),
        "within": st.just("*"),
    },
)
LEAVES = st.sampled_from(
    ["2024-09-18", "20240918", "1654214400", "2024-09-18/P1D", "today", 10**30, -5, float("nan"), KeyError("x"), int]
)
DATES = st.dates() | st.datetimes() | st.timedeltas()
VALUES = st.recursive(
    LEAVES | DATES | st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.sampled_from(["k", "start", "end", "window"]), inner, max_size=3)
        | inner.map(Holder)
    ),
    max_leaves=6,
)


@settings(max_examples=60)
@given(ENTRIES, VALUES, st.lists(VALUES, max_size=2))
def test_any_value_is_returned_and_recorded_once(options: dict[str, Any], value: Any, more: list[Any]) -> None:
    telemetry = Telemetry()

    def load(a: Any, *args: Any, **kw: Any) -> Any:
        return a

    mapped(telemetry, load, **options)
    assert load(value, *more, k=value) is value
    assert len(telemetry.events) == len(telemetry.spans) == 1


# Problems


def plain(rows: Any, day: Any = None) -> Any:
    """A function whose signature a mapping is checked against."""


async def async_items(rows: Any) -> AsyncIterator[Any]:
    """An async generator."""
    yield rows


@pytest.mark.parametrize(
    ("function", "options", "problem"),
    [
        (plain, {"window": "dya"}, "'dya' in 'dya' is not an argument of .*plain; did you mean 'day'"),
        (plain, {"window": {"path": "dya.x", "length": "1d"}}, ".*did you mean 'day'"),
        (plain, {"window": ["rows", "dya"]}, ".*did you mean 'day'"),
        (plain, {"window": "yield.day"}, ".*is not a generator; use return"),
        (plain, {"window": {"path": "result.day", "read": "before"}}, ".*does not exist before the call"),
        (plain, {"size": "row"}, ".*did you mean 'rows'"),
        (plain, {"size": "+row"}, ".*did you mean 'rows'"),
        (plain, {"size": "+result"}, r"'\+result' cannot be read before the call"),
        (plain, {"fails_when": {"path": "rsult", "is": 1}}, ".*did you mean 'result'"),
        (plain, {"error": "exc"}, "'exc' in 'exc' is not an argument"),
        (plain, {"keep": {"a": "b"}}, "'b' in 'b' is not an argument"),
        (plain, {"where": {"self.a": "b"}}, "'self' in 'self.a' is not an argument"),
        (plain, {"where": {"result": "b"}}, ".*before the call"),
        (async_items, {"fails_when": "none"}, ".*async generator; use yield"),
        (async_items, {"fails_when": "programs.mapped_functions:has_failed"}, ".*async generator"),
    ],
)
def test_path_that_does_not_suit_the_function_is_a_problem(
    telemetry: Telemetry, function: Any, options: dict[str, Any], problem: str
) -> None:
    """The function is not instrumented."""
    code = function.__code__
    with pytest.raises(OptionError, match=problem) as caught:
        mapped(telemetry, function, **options)
    assert [caught.value.key] == [*options]
    assert function.__code__ is code


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("programs.mapped_functions:size_fo", "'size_fo' is missing; did you mean 'size_of'"),
        ("programs.mapped_functions:NOT_A_FUNCTION", "is not a function"),
        ("programs.mapped_functons:size_of", "cannot be imported: ModuleNotFoundError"),
        ("programs.module_that_exits:size_of", "cannot be imported: SystemExit"),
        ("os:sep.joi", "'os:sep.joi' does not exist: 'joi' is missing; did you mean 'join'?"),
        ("asyncio:sleep", "'asyncio:sleep' is a coroutine function; name a function that returns"),
    ],
)
def test_missing_function_warns_once(telemetry: Telemetry, warned: Warned, name: str, problem: str) -> None:
    def load() -> list[int]:
        return []

    mapped(telemetry, load, size=name, window=name)
    load()
    load()
    assert sorted(message.split()[1] for message in warned()) == ["functions[0].size", "functions[0].window"]
    assert all(problem in message for message in warned())
    assert len(telemetry.events) == 2


def test_warnings_are_logged_once_per_entry_and_function(telemetry: Telemetry, warned: Warned) -> None:
    def load(job: Any) -> list[int]:
        return []

    mapped(telemetry, load, window="job.day", size="job.rows")
    mapped(telemetry, load, "asset.load", window="job.day")
    for _ in range(2):
        load(object())
    assert sorted(message.split()[1] for message in warned()) == ["functions[0].size", *["functions[0].window"] * 2]


# Other processes


@pytest.mark.parametrize("kind", ["joblib", "dask"])
def test_functions_of_main_pickled_by_value_record_in_workers(kind: str) -> None:
    """A worker gets the entry with the function, and logs each warning once."""
    pytest.importorskip(kind)
    output, warnings = run_program("mapped_by_value", kind)
    is_elsewhere, events = json.loads(output)
    day = str(DAY)
    assert is_elsewhere
    assert events == [
        *(["AllocationSetLoaded", size, day] for size in (1, 2)),
        ["AssetSetLoaded", 2, day],
        *[["AssetSetComputeError", None, "None"]] * 2,
        ["CloudCostSetLoaded", None, "None"],
    ]
    assert sorted(line.split(":")[1].split()[0] for line in warnings.splitlines()) == [
        "functions[3].size",
        "functions[4].window",
    ]


def test_unpickled_function_that_fits_no_entry_is_called(telemetry: Telemetry, warned: Warned) -> None:
    """The worker may have another version of the package."""
    mapped(telemetry, plain_total, "allocation.total", window="day")
    recording = inner_of(plain_total)
    assert recording is not None
    reduced: Any = recording.__reduce__()
    again, (entry, original) = reduced
    late = again(entry._replace(options=entry.options._replace(error="unknown")), original)
    assert (late("2022-06-03"), telemetry.events) == (1, [])
    (message,) = warned()
    assert message.startswith("kcevents.toml: functions[0].error (costs.etl:step): plain_total is not recorded: 'unkn")


def plain_total(day: str) -> int:
    """Return a number."""
    return 1
