"""Which main module is watched, from when to when; the events of its lines come from the test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import CodeType, FrameType, ModuleType
from typing import Any

import pytest
from telemetry import Warned

from otel_kcevents.plugin.main_module import MainModuleWatch, module_names
from otel_kcevents.plugin.target import Target

PROGRAM = """
enter()
line()
def save(): pass
line()
line()
"""


class Events:
    """Events that a module reports itself, by calling `enter()` and `line()`."""

    def __init__(self, can_start: bool = True) -> None:
        self.can_start = can_start
        self.steps: list[str] = []

    def start(
        self, code_names: tuple[str, ...], on_frame: Callable[[FrameType], None], on_lost: Callable[[], None]
    ) -> bool:
        self.steps.append("start")
        self.on_frame, self.on_lost = on_frame, on_lost
        return self.can_start

    def follow(self, frame: FrameType, on_line: Callable[[int | None], bool]) -> None:
        self.steps.append("follow")
        self.on_line = on_line

    def pause(self) -> bool:
        self.steps.append("pause")
        return True

    def resume(self) -> None:
        self.steps.append("resume")

    def stop(self) -> None:
        self.steps.append("stop")

    def enter(self) -> None:
        self.on_frame(sys._getframe(1))

    def line(self) -> None:
        if self.steps[-1] == "follow":
            self.on_line(sys._getframe(1).f_lasti)


class Watched:
    """A watch, and what it has reported: whether `save` is defined, and whether nothing can follow."""

    def __init__(self, *targets: str, events: Events | None = None) -> None:
        self.events = events or Events()
        self.reported: list[tuple[bool, bool]] = []
        self.watch = MainModuleWatch([Target.parse(target) for target in targets], self.on_defined, self.events)

    def on_defined(self, module: Any, code: CodeType, is_complete: bool) -> None:
        assert code.co_name == "<module>"
        self.reported.append((hasattr(module, "save"), is_complete))

    def start_before_main(self, name: str = "site") -> None:
        exec("start()", {"__name__": name, "start": self.watch.start})

    def run_main(self, source: str, **attributes: Any) -> None:
        module = ModuleType("__main__")
        vars(module).update(enter=self.events.enter, line=self.events.line, start=self.watch.start, **attributes)
        sys.modules["__main__"] = module
        exec(source, vars(module))


@pytest.fixture(autouse=True)
def command_line(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that sets the command line; the main module is restored after the test."""

    def set_command_line(program: str, *arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", [program])
        monkeypatch.setattr(sys, "orig_argv", ["python", *arguments])

    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    set_command_line("-c", "-c", "…")
    return set_command_line


def test_watch_ends_after_the_last_definition() -> None:
    watched = Watched("__main__:save")
    watched.start_before_main()
    assert watched.events.steps == ["start"]
    watched.run_main(PROGRAM)
    assert watched.events.steps == ["start", "follow", "stop"]
    assert watched.reported == [(True, True)]


def test_each_definition_is_reported() -> None:
    watched = Watched("__main__:save*")
    watched.start_before_main()
    watched.run_main("enter()\ndef save(): pass\nline()\ndef save(): pass\nline()\ndef save2(): pass\nline()")
    assert watched.reported == [(True, False), (True, False), (True, True)]


def test_glob_does_not_wait_for_assignments() -> None:
    watched = Watched("__main__:*")
    watched.start_before_main()
    watched.run_main("enter()\ndef save(): pass\nline()\nsaved = save()")
    assert watched.events.steps == ["start", "follow", "stop"]


def test_definition_in_the_last_statement_is_reported() -> None:
    watched = Watched("__main__:save")
    watched.start_before_main()
    watched.run_main("enter()\ndef save(): pass")
    watched.events.on_line(None)
    assert watched.reported == [(True, True)]


def test_module_without_the_named_function_is_reported_once() -> None:
    watched = Watched("__main__:load")
    watched.start_before_main()
    watched.run_main(PROGRAM)
    assert watched.events.steps == ["start", "stop"]
    assert watched.reported == [(False, True)]


def test_running_main_module_is_followed() -> None:
    watched = Watched("__main__:save")
    watched.run_main(PROGRAM.replace("enter()", "start()"))
    assert watched.events.steps == ["start", "follow", "stop"]
    assert watched.reported == [(True, True)]


def test_watch_does_not_start_if_no_main_module_follows() -> None:
    watched = Watched("__main__:save")
    watched.watch.start()
    watched.start_before_main("uwsgi")
    watched.run_main("start()\ndef load(): pass")
    assert watched.events.steps == []


def test_other_modules_are_not_followed() -> None:
    watched = Watched("__main__:save")
    watched.start_before_main()
    for name in ("costs", None, "__main__", "__mp_main__"):  # the last two with globals of no module
        exec(PROGRAM, {"__name__": name, "enter": watched.events.enter, "line": watched.events.line})
    exec("def run():\n    enter()\nrun()", {"__name__": "__main__", "enter": watched.events.enter})
    assert watched.events.steps == ["start"]


def test_second_run_of_code_in_the_main_module_is_ignored() -> None:
    watched = Watched("__main__:save")
    watched.start_before_main()
    watched.run_main("enter()\nexec('enter()')\ndef save(): pass\nline()")
    assert watched.events.steps == ["start", "follow", "stop"]


@pytest.mark.parametrize("runner", [{"__spec__": ModuleType("s")}, {"__file__": "/usr/bin/coverage"}])
def test_program_of_a_profiler_is_the_main_module(runner: dict[str, Any]) -> None:
    if "__spec__" in runner:
        runner["__spec__"].name = "cProfile"
    watched = Watched("__main__:save")
    watched.start_before_main()
    watched.run_main("enter()\ndef save(): pass", **runner)
    namespace = {"__name__": "__main__", "enter": watched.events.enter, "line": watched.events.line}
    exec("enter()\nline()", namespace)  # a command of the profiler
    assert watched.events.steps == ["start"]
    exec(PROGRAM, namespace)
    assert watched.reported == [(True, True)]


BOOTSTRAP = "def _bootstrap():\n    call()\n_bootstrap()"


def test_worker_without_a_main_module_ends_the_watch(command_line: Callable[..., None]) -> None:
    command_line("-c", "-c", "from multiprocessing.spawn import spawn_main; spawn_main()", "--multiprocessing-fork")
    watched = Watched("costs.etl:save")
    watched.start_before_main()
    watched.run_main("enter()\ndef save(): pass")
    assert watched.events.steps == ["start"]
    exec(BOOTSTRAP, {"__name__": "multiprocessing.process", "call": watched.events.enter})
    assert watched.events.steps == ["start", "stop"]


def test_watch_does_not_start_in_a_started_worker() -> None:
    watched = Watched("__main__:save")
    exec(BOOTSTRAP, {"__name__": "multiprocessing.process", "call": watched.start_before_main})
    exec(BOOTSTRAP, {"__name__": "multiprocessing.process", "call": watched.watch.start})
    assert watched.events.steps == ["start"]  # of the first, which is before its main module


@pytest.mark.parametrize(
    ("target", "program", "arguments", "expected"),
    [
        ("__main__:save", "etl.py", ["etl.py"], True),
        ("*:save", "etl.py", ["etl.py"], True),
        ("costs.etl:save", "etl.py", ["etl.py"], False),
        ("etl.py:save", "etl.py", ["etl.py"], True),
        ("other.py:save", "etl.py", ["etl.py"], False),
        ("folder/__main__.py:save", "folder", ["folder"], True),
        ("etl.py:save", "/usr/bin/coverage", ["/usr/bin/coverage", "run", "etl.py"], True),
        ("costs.etl:save", "-m", ["-m", "costs.etl"], True),
        ("costs.etl:save", "-m", ["-mcosts.etl"], True),
        ("costs.__main__:save", "-m", ["-m", "costs"], True),
        ("costs.etl:save", "-m", ["-m", "costs"], False),
        ("costs/etl.py:save", "-m", ["-m", "costs.etl"], True),
        ("costs/__main__.py:save", "-m", ["-m", "costs"], True),
        ("costs/etl.py:save", "-m", ["-m", "costs.load"], False),
        ("costs/etl.py:save", "-m", ["-m", "cProfile", "etl.py"], True),
        ("__main__:save", "-c", ["-c", "from multiprocessing.resource_tracker import main;main(4)"], False),
        ("costs.etl:save", "-c", ["-c", "from multiprocessing.forkserver import main; main(4)"], True),
    ],
)
def test_command_line_shows_what_may_be_the_main_module(
    command_line: Callable[..., None], target: str, program: str, arguments: Sequence[str], expected: bool
) -> None:
    command_line(program, *arguments)
    watched = Watched(target)
    watched.start_before_main()
    assert watched.events.steps == (["start"] if expected else [])


def test_watch_does_not_start_in_an_embedded_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr(sys, "orig_argv", [])
    watched = Watched("__main__:save")
    watched.start_before_main()
    assert watched.events.steps == []


def test_imports_pause_the_events() -> None:
    watched = Watched("__main__:save")
    assert watched.watch.pause()
    watched.watch.resume()
    assert watched.events.steps == ["pause", "resume"]


@pytest.mark.parametrize("source", ["start()\ndef save(): pass", "pass"])
def test_warning_if_another_tool_traces_the_program(warned: Warned, source: str) -> None:
    watched = Watched("__main__:save", events=Events(can_start=False))
    if source == "pass":
        watched.start_before_main()
    watched.run_main(source)
    assert [message for message in warned() if "coverage, a debugger or another tool" in message] == warned()
    assert len(warned()) == 1


def test_error_ends_the_watch_with_a_warning(warned: Warned) -> None:
    class Spec:
        @property
        def name(self) -> str:
            raise OSError("no name")

    watched = Watched("__main__:save")
    watched.start_before_main()
    watched.run_main(PROGRAM, __spec__=Spec())
    assert watched.events.steps == ["start", "stop"]
    assert warned() == ["functions of the main module are not instrumented: no name"]


@pytest.mark.parametrize(
    ("namespace", "expected"),
    [
        ({"__name__": "costs"}, {"costs"}),
        ({"__name__": "__main__", "__spec__": None}, {"__main__"}),
        ({"__name__": "__main__", "__spec__": sys.__spec__}, {"__main__", "sys"}),
        ({"__name__": "__mp_main__", "__spec__": sys.__spec__}, {"__mp_main__", "__main__", "sys"}),
        ({"__name__": None}, set()),
        ({}, set()),
    ],
)
def test_main_module_also_has_the_name_in_its_spec(namespace: dict[str, Any], expected: set[str]) -> None:
    assert set(module_names(namespace)) == expected
