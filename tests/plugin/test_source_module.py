"""Modules with the functions of a file that does not run."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import pytest

from otel_kcevents.plugin.source_module import SourceModule, read_source_module

SOURCE = """# -*- coding: latin-1 -*-
import no_such_module

def load(window, *, größe=3):
    def nested(): pass
    return [row for row in nested()]

class Base:
    def read(self): pass

if no_such_name:
    class Reader(Base):
        class Inner(Base):
            async def save(self, rows): super().save(rows)

        @no_such_decorator
        def lines(self): yield 1

ratio = lambda: 0

def factory():
    class Hidden(Base): pass

raise RuntimeError
"""


def read(path: Path, source: str) -> SourceModule:
    path.write_text(source, encoding="latin-1")
    return read_source_module(str(path), "__main__", "costs.etl")


def test_functions_and_methods_are_those_of_the_file(tmp_path: Path) -> None:
    module = read(tmp_path / "etl.py", SOURCE)
    assert {"load", "Base", "Reader", "factory"} <= set(vars(module))
    assert not {"nested", "Hidden", "no_such_module", "ratio"} & set(vars(module))
    assert list(inspect.signature(module.load).parameters) == ["window", "größe"]
    assert inspect.isgeneratorfunction(module.Reader.lines)
    save = module.Reader.Inner.save
    assert (save.__qualname__, save.__module__, module.Reader.Inner.__qualname__) == (
        *("Reader.Inner.save", "__main__", "Reader.Inner"),
    )
    assert inspect.iscoroutinefunction(save)
    assert (module.__file__, module.full_name) == (str(tmp_path / "etl.py"), "costs.etl")


def test_classes_with_base_classes_are_known(tmp_path: Path) -> None:
    assert read(tmp_path / "etl.py", SOURCE).subclasses == {"Reader", "Reader.Inner"}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax is new in Python 3.12")
def test_generic_functions_and_classes_are_read(tmp_path: Path) -> None:
    module = read(tmp_path / "etl.py", "class Store[T]:\n  def save[R](self, rows: R): pass\ndef load[T](): pass\n")
    assert module.Store.save.__qualname__ == "Store.save"
    assert module.load.__qualname__ == "load"


def test_file_that_is_not_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SyntaxError):
        read(tmp_path / "etl.py", "def")
