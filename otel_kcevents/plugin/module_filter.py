"""`ModuleFilter`: a cheap check for each import of whether any entry can name the module."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from fnmatch import translate

from otel_kcevents.plugin.target import Target

__all__ = ["ModuleFilter"]


class ModuleFilter:
    """Checks whether targets may name functions of a module, all targets at once.

    Args:
        targets: The targets.
    """

    def __init__(self, targets: Iterable[Target]) -> None:
        targets = list(targets)
        names = [target for target in targets if not target.is_file]
        self._names = frozenset(target.module for target in names if target.names_one_module)
        globs = [translate(target.module) for target in names if not target.names_one_module]
        self._glob = re.compile("|".join(globs)) if globs else None
        files = [target for target in targets if target.is_file]
        self._stems = frozenset(_stem(target.module) for target in files if target.names_one_module)
        self._has_file_globs = not all(target.names_one_module for target in files)

    def may_name(self, names: Iterable[str], file: str | None) -> bool:
        """Return whether a target may name functions of a module; if so, `Target.matches` decides.

        Args:
            names: The names of the module.
            file: The path of its file; None if it has none.
        """
        if not self._names.isdisjoint(names) or (self._glob is not None and any(map(self._glob.match, names))):
            return True
        if file is None or not (self._stems or self._has_file_globs):
            return False
        return self._has_file_globs or _stem(file) in self._stems or os.path.islink(file)


def _stem(path: str) -> str:
    """Return the name of a file up to its first dot, which a source file and its compiled code share."""
    return os.path.basename(path).partition(".")[0]
