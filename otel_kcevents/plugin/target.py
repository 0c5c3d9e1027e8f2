"""`Target`: which functions an entry of a mapping names, by module or file and by qualified name; both may be globs."""

from __future__ import annotations

import os
import re
from fnmatch import fnmatchcase
from importlib.util import source_from_cache
from typing import Any, NamedTuple

from otel_kcevents.model.messages import short_repr

__all__ = ["Target"]

_GLOB = r"[*?\[]"
_CHOICE = r"\[!?\]?[^\]]*\]"  # as in `fnmatch`
_NAME = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
_PATTERN = r"[\w*?\[\]!-]+(\.[\w*?\[\]!-]+)*"


class Target(NamedTuple):
    """Names the `def` statements of functions.

    Attributes:
        text: The target as in the mapping.
        module: The module's name, or the path of its file, which ends in `.py`; may be a glob.
        name: The function's qualified name; may be a glob.
    """

    text: str
    module: str
    name: str

    @classmethod
    def parse(cls, text: Any) -> Target:
        """Return the target of a string such as `costs.allocator:CostAllocator.allocate` or `dags/cost.py:main`.

        Args:
            text: The string.

        Raises:
            ValueError: It is not a target.
        """
        module, _, name = text.rpartition(":") if isinstance(text, str) else ("", "", "")
        if "<locals>" in name:
            outer = name.partition(".<locals>")[0]
            raise ValueError(f"{short_repr(text)} is a nested function, which cannot be named; name {outer!r} instead")
        is_path = module.endswith(".py")
        if not _is_valid(name) or not (is_path or _is_valid(module)):
            raise ValueError(f"{short_repr(text)} is not a target; expected module:function, such as costs.etl:save")
        if any("[" in re.sub(_CHOICE, "", part) for part in (module, name)):
            raise ValueError(f"{short_repr(text)} has a [ without a ] and matches nothing; for a literal [, write [[]")
        return cls(text, module, name)

    @property
    def is_file(self) -> bool:
        """Whether it names the file of a module."""
        return self.module.endswith(".py")

    @property
    def names_one_module(self) -> bool:
        """Whether it names one module or file; otherwise it has a glob."""
        return re.search(_GLOB, self.module) is None

    @property
    def names_one_function(self) -> bool:
        """Whether it names one function of a module; otherwise it has a glob."""
        return re.search(_GLOB, self.name) is None

    def matches(self, name: str, file: str | None) -> bool:
        """Return whether it may name functions of a module.

        Args:
            name: The name of the module, or one of its names.
            file: The path of its file; None if it has none.
        """
        if not self.is_file:
            return fnmatchcase(name, self.module)
        return file is not None and self._matches_file(_source(file))

    def is_path_of(self, file: str | None) -> bool:
        """Return whether it is the path of a file, absolute or relative, and not only the end of that path.

        Args:
            file: The path of the file of a module that it matches; None if it has none.
        """
        wanted = os.path.abspath(os.path.expanduser(self.module))
        return file is not None and os.path.realpath(_source(file)) == os.path.realpath(wanted)

    def matches_name(self, name: str) -> bool:
        """Return whether it names a function of a module that it matches.

        A glob does not match special methods such as `__init__`, unless its last part begins with two underscores.

        Args:
            name: The qualified name of the function.
        """
        last = name.rpartition(".")[2]
        is_special = last.startswith("__") and last.endswith("__")
        if is_special and not self.names_one_function and not self.name.rpartition(".")[2].startswith("__"):
            return False
        return fnmatchcase(name, self.name)

    def _matches_file(self, file: str) -> bool:
        wanted = os.path.expanduser(self.module).replace(os.sep, "/")
        if wanted.startswith(("./", "../")):
            wanted = os.path.abspath(wanted).replace(os.sep, "/")
        path = os.path.abspath(file).replace(os.sep, "/")
        if fnmatchcase(path, wanted) or fnmatchcase(path, f"*/{wanted}"):
            return True
        if os.path.basename(path) != os.path.basename(wanted) and not os.path.islink(file):
            return False  # most modules, without a look at the file system
        real = os.path.realpath(file).replace(os.sep, "/")
        return fnmatchcase(real, wanted) or fnmatchcase(real, f"*/{wanted}") or real == os.path.realpath(wanted)


def _is_valid(name: str) -> bool:
    return re.fullmatch(_PATTERN if re.search(_GLOB, name) else _NAME, name) is not None


def _source(file: str) -> str:
    """Return the path of the source of a file with compiled code."""
    if not file.endswith(".pyc"):
        return file
    try:
        return source_from_cache(file)
    except ValueError:  # it is in the folder of its source
        return file[:-1]
