"""The import hook: which modules it sees, when, and that it leaves no trace in tracebacks and warnings."""

from __future__ import annotations

import importlib
import py_compile
import sys
import threading
import traceback
import warnings
import zipfile
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import LazyLoader, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from otel_kcevents.plugin.import_hook import ImportHook


class Loaded:
    """The modules that a hook has reported, and their attributes at that time."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.attributes: list[set[str]] = []
        self.threads: set[threading.Thread] = set()

    def __call__(self, module: ModuleType) -> None:
        self.names.append(module.__name__)
        self.attributes.append(set(vars(module)))
        self.threads.add(threading.current_thread())


@pytest.fixture
def loaded() -> Iterator[Loaded]:
    """What an installed hook reports."""
    loaded = Loaded()
    hook = ImportHook(loaded)
    hook.install()
    yield loaded
    hook.remove()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on `sys.path`; what is imported from it is forgotten."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(path: Path, text: str = "def f():\n    pass\n") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def load(path: Path, loader: Any = None) -> ModuleType:
    spec = spec_from_file_location(path.stem, path, loader=loader)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def test_module_is_reported_after_its_code(folder: Path, loaded: Loaded) -> None:
    write(folder / "costs_a.py")
    importlib.import_module("costs_a")
    assert loaded.names == ["costs_a"]
    assert "f" in loaded.attributes[0]


def test_module_without_source_is_reported(folder: Path, loaded: Loaded) -> None:
    py_compile.compile(str(write(folder / "source" / "costs_b.py")), str(folder / "costs_b.pyc"))
    importlib.import_module("costs_b")
    assert loaded.names == ["costs_b"]


def test_module_in_an_archive_is_reported(folder: Path, loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(folder / "costs.zip", "w") as archive:
        archive.writestr("costs_c.py", "def f(): pass")
    monkeypatch.syspath_prepend(folder / "costs.zip")
    importlib.import_module("costs_c")
    assert loaded.names == ["costs_c"]


def test_module_loaded_by_path_is_reported(folder: Path, loaded: Loaded) -> None:
    load(write(folder / "dag.py"))
    assert loaded.names == ["dag"]


def test_reloaded_module_is_reported_again(folder: Path, loaded: Loaded) -> None:
    write(folder / "costs_d.py")
    importlib.reload(importlib.import_module("costs_d"))
    assert loaded.names == ["costs_d", "costs_d"]


def test_lazy_module_is_reported_at_its_first_use(folder: Path, loaded: Loaded) -> None:
    path = write(folder / "costs_e.py")
    module = load(path, LazyLoader(SourceFileLoader("costs_e", str(path))))
    assert loaded.names == []
    assert module.f() is None
    assert loaded.names == ["costs_e"]


def test_loader_that_calls_super_is_covered(folder: Path, loaded: Loaded) -> None:
    class Loader(SourceFileLoader):
        def exec_module(self, module: ModuleType) -> None:
            super().exec_module(module)

    path = write(folder / "costs_f.py")
    load(path, Loader("costs_f", str(path)))
    assert loaded.names == ["costs_f"]


def test_extension_module_is_reported(folder: Path, loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "_testcapi" if importlib.util.find_spec("_testcapi") else "_ctypes_test"
    monkeypatch.delitem(sys.modules, name, raising=False)
    importlib.import_module(name)
    assert name in loaded.names


def test_circular_imports_are_reported_when_complete(folder: Path, loaded: Loaded) -> None:
    write(folder / "costs_g.py", "import costs_h\ndef f(): pass")
    write(folder / "costs_h.py", "import costs_g\ndef h(): pass")
    importlib.import_module("costs_g")
    assert loaded.names == ["costs_h", "costs_g"]
    assert "f" in loaded.attributes[1]


def test_module_is_reported_in_the_importing_thread(folder: Path, loaded: Loaded) -> None:
    names = [f"costs_i{number}" for number in range(4)]
    for name in names:
        write(folder / f"{name}.py", "".join(f"import {other}\n" for other in names if other > name))
    threads = [threading.Thread(target=importlib.import_module, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(loaded.names) == names
    assert loaded.threads <= set(threads)


def test_failed_import_is_not_reported(folder: Path, loaded: Loaded) -> None:
    write(folder / "costs_j.py", "def f(): pass\n1 / 0")
    with pytest.raises(ZeroDivisionError):
        importlib.import_module("costs_j")
    assert loaded.names == []


def test_traceback_of_a_failed_import_has_no_new_frame(folder: Path, loaded: Loaded) -> None:
    write(folder / "costs_k.py", "import costs_l")
    write(folder / "costs_l.py", "1 / 0")
    try:
        import costs_k  # type: ignore[import-not-found]  # noqa: F401
    except ZeroDivisionError as error:
        files = [Path(frame.filename).name for frame in traceback.extract_tb(error.__traceback__)]
    assert files == [Path(__file__).name, "costs_k.py", "costs_l.py"]


def test_warning_of_a_module_names_its_importer(folder: Path, loaded: Loaded) -> None:
    write(folder / "costs_m.py", "import warnings\nwarnings.warn('use costs_n', DeprecationWarning, stacklevel=2)")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        import costs_m  # type: ignore[import-not-found]  # noqa: F401
    assert [Path(warning.filename).name for warning in caught] == [Path(__file__).name]


def test_pause_and_resume_surround_the_code_of_a_module(folder: Path) -> None:
    steps: list[str] = []

    def pause() -> bool:
        steps.append("pause")
        return True

    hook = ImportHook(lambda module: steps.append("loaded"), pause, lambda: steps.append("resume"))
    write(folder / "costs_o.py", "1 / 0")
    write(folder / "costs_p.py")
    hook.install()
    try:
        with pytest.raises(ZeroDivisionError):
            importlib.import_module("costs_o")
        importlib.import_module("costs_p")
    finally:
        hook.remove()
    assert steps == ["pause", "resume", "pause", "resume", "loaded"]


def test_remove_restores_the_loaders() -> None:
    method: Any = SourceFileLoader.exec_module
    code = method.__code__
    hook = ImportHook(Loaded())
    hook.install()
    hook.install()  # a second time changes nothing
    assert method.__code__ is not code
    hook.remove()
    hook.remove()
    assert method.__code__ is code


class OtherTool:
    """A tool that wraps `exec_module` of the loader of source files, and restores what it found."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def install(self) -> None:
        self.found = found = SourceFileLoader.exec_module

        def exec_module(loader: SourceFileLoader, module: ModuleType) -> None:
            found(loader, module)
            self.names.append(module.__name__)

        SourceFileLoader.exec_module = exec_module  # type: ignore[method-assign, assignment]

    def remove(self) -> None:
        SourceFileLoader.exec_module = self.found  # type: ignore[method-assign]


@pytest.fixture
def loader_restored() -> Iterator[None]:
    """Undo what tools leave in the loader of source files."""
    yield
    if "exec_module" in vars(SourceFileLoader):
        del SourceFileLoader.exec_module


@pytest.mark.usefixtures("loader_restored")
@pytest.mark.parametrize("first", ["ours", "theirs"])
@pytest.mark.parametrize("removed", ["ours", "theirs"])
def test_other_wrapper_works_in_any_order(folder: Path, first: str, removed: str) -> None:
    write(folder / "costs_q.py")
    write(folder / "costs_r.py")
    loaded, other = Loaded(), OtherTool()
    hook = ImportHook(loaded)
    for tool in (hook, other) if first == "ours" else (other, hook):
        tool.install()
    importlib.import_module("costs_q")
    (hook if removed == "ours" else other).remove()
    importlib.import_module("costs_r")
    hook.remove()
    both = ["costs_q", "costs_r"]
    assert loaded.names == (["costs_q"] if removed == "ours" else both)
    assert other.names == (["costs_q"] if removed == "theirs" else both)


def test_hooks_are_removed_in_any_order(folder: Path) -> None:
    write(folder / "costs_u.py")
    write(folder / "costs_v.py")
    first, second = Loaded(), Loaded()
    hooks = ImportHook(first), ImportHook(second)
    for hook in hooks:
        hook.install()
    hooks[0].remove()
    importlib.import_module("costs_u")
    hooks[1].remove()
    importlib.import_module("costs_v")
    assert (first.names, second.names) == ([], ["costs_u"])


@pytest.mark.usefixtures("loader_restored")
def test_removed_hook_can_be_installed_again(folder: Path) -> None:
    loaded, other = Loaded(), OtherTool()
    hook = ImportHook(loaded)
    hook.install()
    other.install()
    hook.remove()
    hook.install()
    write(folder / "costs_s.py")
    importlib.import_module("costs_s")
    hook.remove()
    assert loaded.names == ["costs_s"]
    assert other.names == ["costs_s"]


def test_loader_with_its_own_exec_module_is_not_seen(folder: Path, loaded: Loaded) -> None:
    class Loader:
        def create_module(self, spec: ModuleSpec) -> None:
            return None

        def exec_module(self, module: ModuleType) -> None:
            exec("def f(): pass", vars(module))

    load(folder / "costs_t.py", Loader())
    assert loaded.names == []
