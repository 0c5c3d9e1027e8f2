"""Makes modules with the functions of a source file without running its code, which may have side effects."""

from __future__ import annotations

import ast
import inspect
import tokenize
from collections.abc import Iterator
from types import CellType, CodeType, FunctionType, ModuleType, SimpleNamespace
from typing import Any

__all__ = ["SourceModule", "read_source_module"]


class SourceModule(ModuleType):
    """A module whose functions and classes are those of a source file, without decorators and base classes.

    Attributes:
        code: The code of the file, which has not run.
        full_name: Its name after `python -m`, or the name of the module.
        subclasses: The qualified names of the classes with base classes, whose inherited methods are not known.
    """

    code: CodeType
    full_name: str
    subclasses: frozenset[str]

    def __init__(self, name: str, file: str, source: str, full_name: str) -> None:
        super().__init__(name)
        tree = ast.parse(source, file)
        code = compile(tree, file, "exec", dont_inherit=True)
        self.subclasses = frozenset(_subclasses(tree))
        vars(self).update(__file__=file, __spec__=SimpleNamespace(name=full_name))
        self.full_name = full_name
        self.code = code
        for inner in _definitions(code):
            vars(self)[inner.co_name] = self._made(inner, inner.co_name)

    def _made(self, code: CodeType, name: str) -> Any:
        """Return a function or a class with the code of its definition."""
        if code.co_flags & inspect.CO_OPTIMIZED:
            closure = tuple(CellType() for _ in code.co_freevars)
            function = FunctionType(code, vars(self), code.co_name, None, closure)
            function.__qualname__, function.__module__ = name, self.__name__
            return function
        members = {inner.co_name: self._made(inner, f"{name}.{inner.co_name}") for inner in _definitions(code)}
        return type(code.co_name, (), {**members, "__module__": self.__name__, "__qualname__": name})


def read_source_module(path: str, name: str, full_name: str | None = None) -> SourceModule:
    """Return the functions of a file as a module.

    Args:
        path: The path of the file.
        name: The name of the module, such as `__main__`.
        full_name: Its name after `python -m`, if it is another one.

    Raises:
        OSError: The file cannot be read.
        SyntaxError: It is not Python.
        ValueError: It is not text.
    """
    with tokenize.open(path) as stream:  # in the encoding that the file declares
        return SourceModule(name, path, stream.read(), full_name or name)


def _definitions(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of the functions and classes that a module or a class defines."""
    for inner in code.co_consts:
        if not isinstance(inner, CodeType):
            continue
        if inner.co_name.startswith("<generic parameters of "):  # pragma: no cover - syntax of Python 3.12
            yield from _definitions(inner)
        elif not inner.co_name.startswith("<"):
            yield inner


def _subclasses(node: ast.AST, prefix: str = "") -> Iterator[str]:
    """Yield the names of the classes with base classes that are not defined inside functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            if child.bases:
                yield prefix + child.name
            yield from _subclasses(child, f"{prefix}{child.name}.")
        elif not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.expr)):
            yield from _subclasses(child, prefix)
