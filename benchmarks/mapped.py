"""The price of the plugin: a mapped call relative to a decorated one, and what it adds to a program's start."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from tempfile import TemporaryDirectory
from time import thread_time

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from benchmarks import undecorated
from benchmarks.hand import ROWS, Period
from benchmarks.measure import Rounds, Row, Side, alternate, child_environment, repeat_call, run_child
from benchmarks.pipeline import WINDOW, Drop
from benchmarks.undecorated import ITEMS
from otel_kcevents import EventLogProcessor, allocation
from otel_kcevents.plugin.instrumentation import Instrumentation
from otel_kcevents.plugin.mapping import mapping_of

__all__ = ["rows"]

_MODES = {"on": "SDK", "off": "SDK, sampler off", "none": "no SDK"}
_SHAPES = ("plain function", "method", "coroutine", "generator of 3 items")
_LAUNCHER = Path(sys.executable).with_name("opentelemetry-instrument")
_MAPPING = "OTEL_PYTHON_KCEVENTS_MAPPING"
_NO_PLUGIN = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "kcevents"}
_NO_DISTRIBUTION = {"OTEL_PYTHON_DISTRO": "none", "OTEL_PYTHON_CONFIGURATOR": "none"}  # only these names are loaded
_NO_EXPORT = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}


def rows(quick: bool) -> Iterator[Row]:
    """Measure the calls in a process for each mode, and the starts of programs in new processes."""
    for mode, title in _MODES.items():
        found = run_child("-m", "benchmarks.mapped", mode, *(("3", "100") if quick else ("31", "500")))
        for shape, rounds in zip(_SHAPES, found, strict=True):
            yield Row(f"a mapped call: {shape}, {title}", "a decorated call", rounds, "µs", "1.15")
    if not _LAUNCHER.exists() or not entry_points(group="opentelemetry_instrumentor", name="kcevents"):
        yield Row("starting a program with the plugin", "without", note="not installed: opentelemetry-instrumentation")
        return
    with TemporaryDirectory() as folder:
        yield from _start_rows(Path(folder), quick)


@allocation.load
def load(window: Period) -> list[int]:
    """Load by a plain function, decorated."""
    return ROWS


class Loader:
    """Loads by a decorated method."""

    @allocation.load
    def load(self, window: Period) -> list[int]:
        """Load by a method, decorated."""
        return ROWS


@allocation.load
async def load_async(window: Period) -> list[int]:
    """Load by a coroutine function, decorated."""
    return ROWS


@allocation.load
def load_items(window: Period) -> Iterator[int]:
    """Load by a generator function, decorated."""
    yield from ITEMS


def _measure(mode: str, rounds: int, calls: int) -> Sequence[Rounds]:
    """Measure the calls of each shape, with the providers of the process, which a mapped function uses."""
    settle: Callable[[], object] = bool
    if mode != "none":
        provider = TracerProvider(ALWAYS_OFF if mode == "off" else ALWAYS_ON)
        provider.add_span_processor(BatchSpanProcessor(Drop()))
        provider.add_span_processor(EventLogProcessor())
        trace.set_tracer_provider(provider)
        settle = provider.force_flush
    names = ("load", "Loader.load", "load_async", "load_items")
    functions = [{"target": f"{undecorated.__name__}:{name}", "record": "allocation.load"} for name in names]
    instrumentation = Instrumentation(mapping_of({"functions": functions}, "the benchmark"))
    instrumentation.begin()
    if not all(state.functions for state in instrumentation.states()):
        raise RuntimeError("the mapping does not instrument each function")

    loop = asyncio.new_event_loop()

    def await_calls(function: Callable[[Period], Awaitable[object]]) -> Side:
        async def repeat(calls: int) -> None:
            for _ in range(calls):
                await function(WINDOW)

        return lambda calls: loop.run_until_complete(repeat(calls))

    def exhaust(function: Callable[[Period], Iterable[object]]) -> Side:
        return repeat_call(lambda window: deque(function(window), 0), WINDOW)

    pairs = (
        [repeat_call(function, WINDOW) for function in (undecorated.load, load)],
        [repeat_call(function, WINDOW) for function in (undecorated.Loader().load, Loader().load)],
        [await_calls(function) for function in (undecorated.load_async, load_async)],
        [exhaust(function) for function in (undecorated.load_items, load_items)],
    )
    return [alternate(pair, rounds, calls, settle, thread_time) for pair in pairs]


def _start_rows(folder: Path, quick: bool) -> Iterator[Row]:
    """Measure programs in new processes, which take turns, after a round that compiles the bytecode."""
    entry = '[[functions]]\ntarget = "costs.module_{0}:Store.save"\nrecord = "allocation.save"\nsize = "rows"\n'
    mappings = {0: folder / "empty.toml", 1: folder / "one.toml", 20: folder / "twenty.toml"}
    for entries, path in mappings.items():
        path.write_text("".join(entry.format(number) for number in range(entries)))
    empty, one, twenty = ({_MAPPING: str(path)} for path in mappings.values())
    measure = partial(_alternate_starts, folder, 0 if quick else 15)

    nothing = folder / "nothing.py"
    nothing.write_text("")
    setups = (("without a distribution", _NO_DISTRIBUTION), ("with opentelemetry-distro", _NO_EXPORT))
    for title, setup in setups[:1] if quick else setups:
        kinds = {"the plugin": {}, "the plugin and an empty mapping": empty, "the plugin and 20 entries": twenty}
        what = f"starting an empty program, {title}"
        if setup is _NO_EXPORT and not entry_points(group="opentelemetry_distro"):
            yield Row(f"{what}: the plugin", "without the plugin", note="not installed")
            continue
        times = measure(nothing, [setup | part for part in (_NO_PLUGIN, *kinds.values())])
        for place, kind in enumerate(kinds, 1):
            pairs = [(each[place], each[0]) for each in times]
            yield Row(f"{what}: {kind}", "without the plugin", pairs, "ms", difference=True)

    modules = 50 if quick else 1000
    for number in range(modules):
        (folder / f"imported_{number}.py").write_text("def save(rows):\n    return rows\n")
    importing = folder / "importing.py"
    importing.write_text("".join(f"import imported_{number}\n" for number in range(modules)))
    kinds = {"an empty mapping": empty, "an entry that matches none of them": one}
    times = measure(importing, [_NO_DISTRIBUTION | part for part in ({}, *kinds.values())])
    for place, kind in enumerate(kinds, 1):
        pairs = [(each[place], each[0]) for each in times]
        yield Row(f"a program that imports {modules:,} modules: {kind}", "no mapping", pairs, "ms", difference=True)


def _alternate_starts(
    folder: Path, rounds: int, program: Path, environments: Sequence[dict[str, str]]
) -> Sequence[Sequence[float]]:
    """Run a program in each environment by turns, after a round that compiles the bytecode; with 0 rounds, only that.

    Returns:
        For each round, the processor time of each run in milliseconds.
    """
    common = {**child_environment(), "PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "PYTHONDONTWRITEBYTECODE": ""}
    if not rounds:
        common = child_environment()  # does not compile the libraries again
    measured = []
    for turn in range(rounds + 1):
        times = [0.0] * len(environments)
        for place in range(len(environments)):
            at = (turn + place) % len(environments)
            times[at] = _run(common | environments[at], program)
        measured.append(times)
    return measured[1:] or measured


def _run(environment: dict[str, str], program: Path) -> float:
    command = [str(_LAUNCHER), sys.executable, str(program)]
    child = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{program.name} failed under opentelemetry-instrument with code {child.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1e3


if __name__ == "__main__":
    mode, *numbers = sys.argv[1:]
    print(json.dumps(_measure(mode, *map(int, numbers))))
