"""Imports the modules that targets name, as far as that is possible before the program runs."""

from __future__ import annotations

import os
import pkgutil
import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from importlib import import_module

from otel_kcevents.model.messages import error_message, type_name
from otel_kcevents.plugin.problem import hint
from otel_kcevents.plugin.target import Target

__all__ = ["find_files", "import_modules"]

_SKIPPED = ("__pycache__", "node_modules", "site-packages")
_MAX_FILES = 20_000  # in the current folder, which may be a home directory


def import_modules(target: Target) -> list[str]:
    """Import the modules that a target names; those of a package too, if it is a glob. Their code runs.

    Args:
        target: A target that names modules, not files.

    Returns:
        Why modules cannot be imported.
    """
    if target.names_one_module:
        return _import(target.module, is_wanted=True)
    first = target.module.partition(".")[0]
    if not re.search(r"\w", first):
        return [f"{target.module} may be any module; start it with the name of a package"]
    errors: list[str] = []
    literal = re.match(r"(\w+(\.\w+)*)\.", target.module)
    if literal is not None:
        return _import_tree(literal[1], target.module, is_wanted=True)
    names = [module.name for module in pkgutil.iter_modules() if fnmatchcase(module.name, first)]
    for name in names:
        errors += _import_tree(name, target.module)
    return errors if names else [f"no module has a name that matches {first}"]


def _import_tree(name: str, pattern: str, is_wanted: bool = False) -> list[str]:
    """Import a package, and the modules in it that match."""
    errors = _import(name, is_wanted)
    folders = getattr(sys.modules.get(name), "__path__", ())
    for module in pkgutil.iter_modules(folders, f"{name}."):
        if module.name.endswith(".__main__"):
            continue  # it is a program, and would run
        if module.ispkg:
            errors += _import_tree(module.name, pattern)
        elif fnmatchcase(module.name, pattern):
            errors += _import(module.name, is_wanted=False)
    return errors


def _import(name: str, is_wanted: bool) -> list[str]:
    """Import a module; return why it cannot be imported, with its name unless it is the one that is wanted."""
    try:
        import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also SystemExit: a script without `if __name__ == "__main__"` ends like this
        message = f"{type_name(error)}: {error_message(error)}"
        if (
            is_wanted
            and isinstance(error, ModuleNotFoundError)
            and error.name
            and f"{name}.".startswith(f"{error.name}.")
        ):
            near = hint(error.name, _siblings(error.name))
            return [f"{message}; {near}" if near.startswith("did") else message]
        return [message if is_wanted else f"{name}: {message}"]
    return []


def _siblings(name: str) -> list[str]:
    """Return the modules beside one that does not exist."""
    package, dot, _ = name.rpartition(".")
    folders = getattr(sys.modules.get(package), "__path__", ()) if dot else None
    return [f"{package}{dot}{module.name}" for module in pkgutil.iter_modules(folders)] or [name]


def find_files(target: Target) -> list[str]:
    """Return the absolute paths of the files that a target names, by its path or anywhere below the current folder.

    Args:
        target: A target that names files.
    """
    if target.names_one_module:
        path = os.path.expanduser(target.module)
        for folder in ["", *sys.path]:
            if os.path.isfile(os.path.join(folder, path)):
                return [os.path.abspath(os.path.join(folder, path))]
    return [file for file in _python_files() if target.matches("", file)]


def _python_files() -> Iterator[str]:
    left = _MAX_FILES
    for folder, folders, files in os.walk(os.getcwd()):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED and not name.startswith("."))
        yield from (os.path.join(folder, name) for name in sorted(files) if name.endswith(".py"))
        left -= len(files)
        if left < 0:
            return
