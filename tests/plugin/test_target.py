"""Which functions a target names: by module, file and qualified name, even if another object has taken the name."""

from __future__ import annotations

import importlib.util
import os
import py_compile
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from mapped_program import MappedProgram
from telemetry import Warned

from otel_kcevents.plugin.target import Target

# The text of a target


@pytest.mark.parametrize(
    ("text", "module", "name"),
    [
        ("costs.etl:save", "costs.etl", "save"),
        ("costs.allocator:CostAllocator.allocate", "costs.allocator", "CostAllocator.allocate"),
        ("costs.*:*Loader.load_[ab]?", "costs.*", "*Loader.load_[ab]?"),
        ("dags/cost.py:main", "dags/cost.py", "main"),
        ("C:\\dags\\cost.py:main", "C:\\dags\\cost.py", "main"),
        ("__main__:main", "__main__", "main"),
        ("kosten.größe:speichern", "kosten.größe", "speichern"),
    ],
)
def test_target_has_a_module_and_a_name(text: str, module: str, name: str) -> None:
    target = Target.parse(text)
    assert (target.text, target.module, target.name) == (text, module, name)
    assert target.is_file == module.endswith(".py")


@pytest.mark.parametrize("text", ["save", "etl:", ":save", "costs.etl:save()", "costs-etl:save", "a b:c", None, 1])
def test_other_texts_are_rejected_with_an_example(text: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a target; expected module:function, such as costs\.etl:save"):
        Target.parse(text)


def test_nested_function_is_rejected_with_a_remedy() -> None:
    with pytest.raises(ValueError, match=r"'etl:main\.<locals>\.save' is a nested function.*name 'main' instead"):
        Target.parse("etl:main.<locals>.save")


# Modules and files


@pytest.mark.parametrize(
    ("module", "name", "matches"),
    [
        ("costs.etl", "costs.etl", True),
        ("costs.etl", "costs.etl2", False),
        ("costs.*", "costs.etl.daily", True),
        ("costs.*", "costs", False),
        ("*", "costs", True),
    ],
)
def test_module_matches_by_name(module: str, name: str, matches: bool) -> None:
    assert Target.parse(f"{module}:save").matches(name, "/srv/costs/etl.py") is matches


@pytest.mark.parametrize(
    ("pattern", "file", "matches"),
    [
        ("/srv/dags/cost.py", "/srv/dags/cost.py", True),
        ("dags/cost.py", "/srv/dags/cost.py", True),
        ("cost.py", "/srv/dags/cost.py", True),
        ("cost.py", "/srv/dags/my_cost.py", False),
        ("ags/cost.py", "/srv/dags/cost.py", False),
        ("dags/*.py", "/srv/dags/cost.py", True),
        ("/srv/*/cost.py", "/srv/dags/cost.py", True),
        ("dags/cost.py", "/srv/dags/cost.pyc", True),
        ("dags/cost.py", "/srv/dags/__pycache__/cost.cpython-311.pyc", True),
        ("./cost.py", f"{os.getcwd()}/cost.py", True),
        ("../x/cost.py", f"{os.path.dirname(os.getcwd())}/x/cost.py", True),
        ("./cost.py", "/elsewhere/cost.py", False),
        ("~/cost.py", os.path.expanduser("~/cost.py"), True),
        ("cost.py", None, False),
    ],
)
def test_file_matches_by_path(pattern: str, file: str | None, matches: bool) -> None:
    assert Target.parse(f"{pattern}:save").matches("cost", file) is matches


@pytest.mark.parametrize("pattern", ["linked.py", "dags/linked.py", "real.py", "code/real.py", "{}/code/real.py"])
def test_file_matches_by_its_link_and_by_its_real_path(tmp_path: Path, pattern: str) -> None:
    real, link = tmp_path / "code" / "real.py", tmp_path / "dags" / "linked.py"
    for path in (real, link):
        path.parent.mkdir()
    real.write_text("")
    link.symlink_to(real)
    assert Target.parse(f"{pattern.format(tmp_path)}:save").matches("x", str(link))


def test_file_matches_through_a_linked_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "cost.py").write_text("")
    (tmp_path / "dags").symlink_to(tmp_path / "real")
    assert Target.parse("real/cost.py:save").matches("x", str(tmp_path / "dags" / "cost.py"))
    assert Target.parse(f"{tmp_path}/dags/cost.py:save").matches("x", str(tmp_path / "real" / "cost.py"))


@pytest.mark.parametrize("kind", ["source", "compiled"])
def test_module_loaded_by_path_is_instrumented(program: MappedProgram, kind: str) -> None:
    """As Airflow loads the files of DAGs."""
    path = program.write("def main(): return 1\n", "dags.cost")
    if kind == "compiled":
        py_compile.compile(str(path), str(path := path.with_suffix(".pyc")))
    program.instrument("dags/cost.py:main")
    spec = importlib.util.spec_from_file_location("unusual_prefix_cost", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert program.count(module.main) == 1


# Names


@pytest.mark.parametrize(("folder", "is_reported"), [("jobs", True), (".", False)])
def test_missing_function_is_reported_for_the_named_file_only(
    program: MappedProgram, warned: Warned, monkeypatch: pytest.MonkeyPatch, folder: str, is_reported: bool
) -> None:
    """A path of another file may have the same end."""
    path = program.write("def save(): return 1\n", "jobs.utils")
    monkeypatch.chdir(Path(path).parents[1] / folder)
    program.load("import jobs.utils\n")
    program.instrument("utils.py:svae")
    assert any("jobs.utils has no function svae; did you mean 'save'?" in line for line in warned()) == is_reported


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("save", "save", True),
        ("*", "Loader.load", True),
        ("Loader.*", "Loader.load", True),
        ("Loader.*", "Loader.__init__", False),
        ("Loader.__*", "Loader.__init__", True),
        ("Loader.__init__", "Loader.__init__", True),
        ("*save", "Save", False),
    ],
)
def test_globs_match_special_methods_only_with_underscores(pattern: str, name: str, matches: bool) -> None:
    assert Target.parse(f"etl:{pattern}").matches_name(name) is matches


def test_glob_matches_what_the_module_defines(program: MappedProgram) -> None:
    """Not what it imports, even if that is a class."""
    program.write("def save(): return 1\nclass Base:\n    def load(self): return 1\n", "library")
    module = program.load("""
        from library import save, Base
        import os.path
        def save_all(): return save()
        class Loader(Base):
            class Inner:
                def load(self): return 1
            def __init__(self): pass
            def load(self): return super().load()
        outer = Loader
    """)
    (state,) = program.instrument("program:*").states()
    names = {matched.name for matched in state.functions}
    assert names == {"program:save_all", "program:Loader.load", "program:Loader.Inner.load"}
    assert program.count(lambda: (module.save_all(), module.Loader().load(), module.Loader.Inner().load())) == 3


def test_glob_matches_functions_that_no_name_leads_to(program: MappedProgram) -> None:
    module = program.load("""
        registry = {}
        def step(function):
            registry[function.__name__] = function
        class Steps:
            @step
            def second(self): return 2
        @step
        def first(): return 1
        if not registry:
            def missing(): return 0
    """)
    (state,) = program.instrument("program:*").states()
    assert {matched.name for matched in state.functions} == {"program:step", "program:Steps.second", "program:first"}
    assert program.count(module.registry["first"]) == 1


def test_modules_of_a_glob_are_searched_for_their_own_functions(program: MappedProgram, warned: Warned) -> None:
    program.write("def main(): return 1\n", "jobs.one")
    program.write("from jobs.one import main as main\ndef helper(): pass\n", "jobs.two")
    one, two = (importlib.import_module(f"jobs.{name}") for name in ("one", "two"))
    (state,) = program.instrument("jobs.*:main").states()
    assert [matched.name for matched in state.functions] == ["jobs.one:main"]
    assert (program.count(one.main), program.count(two.main)) == (1, 1)
    assert warned() == []


def test_exported_name_is_followed(program: MappedProgram) -> None:
    """The name of a library function in the library's `__init__`."""
    program.write("def read_csv(path): return [path]\n", "library.io")
    module = program.load("from .io import read_csv\n", "library.__init__")
    del sys.modules["library.__init__"]
    module = importlib.import_module("library")
    (state,) = program.instrument("library:read_csv").states()
    assert [matched.name for matched in state.functions] == ["library.io:read_csv"]
    assert program.count(lambda: importlib.import_module("library.io").read_csv("x")) == 1
    assert program.count(lambda: module.read_csv("x")) == 1


def test_lambda_of_another_name_and_alias_are_found(program: MappedProgram) -> None:
    module = program.load("class Loader:\n    def load(self): return 1\n    read = load\nget = lambda: 1\n")
    program.instrument("program:Loader.read", "program:get")
    assert program.count(lambda: (module.Loader().load(), module.get())) == 2


DEFINITIONS = {
    "redefined": "def save(): return 1\ndef save(): return 2\n",
    "conditional": "if True:\n    def save(): return 2\nelse:\n    def save(): return 1\n",
    "overloaded": """
        from typing import overload
        @overload
        def save(day: int) -> int: ...
        @overload
        def save(day: str) -> int: ...
        def save(day=None): return 2
    """,
    "overloaded, behind an object": """
        from typing import overload
        class Task:
            def __init__(self, run): self.run = run
            def __call__(self): return self.run()
        @overload
        def save(day: int) -> int: ...
        @overload
        def save(day: str) -> int: ...
        @Task
        def save(day=None): return 2
    """,
    "executed": "exec('def save(): return 2', globals())\n",
    "renamed by wraps": """
        import functools
        def original(): return 1
        @functools.wraps(original)
        def save(): return 2
    """,
    "wrapper of a builtin": "import functools\n@functools.wraps(len)\ndef save(): return 2\n",
}


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_definition_that_a_name_leads_to_is_found(program: MappedProgram, kind: str) -> None:
    module = program.load(DEFINITIONS[kind])
    program.instrument("program:save")
    assert program.count(lambda: module.save() == 2) == 1


def test_wrapper_of_the_same_package_is_skipped(program: MappedProgram) -> None:
    """A decorator like tenacity's: each attempt counts."""
    module = program.load("""
        import functools
        def retry(function):
            @functools.wraps(function)
            def attempts():
                return [function(), function()]
            return attempts
        @retry
        def load(): return 1
    """)
    program.instrument("program:load")
    assert program.count(module.load) == 2


# Modules that are not ordinary


def test_lazy_module_is_not_loaded(program: MappedProgram, warned: Warned) -> None:
    program.write("loaded = True\ndef save(): return 1\n")
    spec = importlib.util.find_spec("program")
    assert spec is not None
    assert spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules["program"] = module
    spec.loader.exec_module(module)
    program.instrument("program:save", "program:*")
    assert "loaded" not in object.__getattribute__(module, "__dict__")
    assert warned() == []
    assert program.count(lambda: module.save()) == 1


def test_attributes_of_a_module_are_not_computed(program: MappedProgram, warned: Warned) -> None:
    program.load("""
        def __getattr__(name):
            raise SystemExit(f"{name} was computed")
        class Descriptor:
            def __get__(self, instance, owner):
                raise SystemExit("a descriptor was used")
        class Proxy:
            def __getattribute__(self, name):
                raise SystemExit("a proxy was used")
            __call__ = None
        class Loader:
            save = Descriptor()
        proxy = Proxy()
    """)
    program.instrument("program:save", "program:Loader.save", "program:proxy", "program:*")
    assert len(warned()) == 3
    assert "program has no function save" in warned()[0]


REPLACED = """
    import sys
    def save(): return 1
    class Replaced:
        save = staticmethod(save)
    sys.modules[__name__] = Replaced()
"""


@pytest.mark.parametrize("is_loaded_before", [True, False])
def test_module_that_replaces_itself_is_instrumented(program: MappedProgram, is_loaded_before: bool) -> None:
    if is_loaded_before:
        replaced = program.load(REPLACED)
    program.instrument("program:save")
    if not is_loaded_before:
        replaced = program.load(REPLACED)
    assert not isinstance(replaced, ModuleType)
    assert program.count(replaced.save) == 1


class Broken:
    def __getattribute__(self, name: str) -> Any:
        raise OSError(name)


@pytest.mark.parametrize("module", [lambda: None, object, Broken], ids=["None", "object", "broken"])
def test_other_objects_in_place_of_modules_are_ignored(
    program: MappedProgram, module: Any, warned: Warned, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as only_here:  # pytest and finalizers may read the modules later
        only_here.setitem(sys.modules, "not_a_module", module())
        program.instrument("not_a_*:save", "*_module:save").end()
    assert warned() == []


def test_private_method_of_a_private_class_is_found(program: MappedProgram) -> None:
    """Python stores it without the leading underscores of the class."""
    module = program.load("class _Private:\n    def __load(self): return 1\n    def call(self): return self.__load()")
    program.instrument("program:_Private.__load")
    assert program.count(module._Private().call) == 1
