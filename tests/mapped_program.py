"""`MappedProgram`: modules that a test writes and imports, and mappings that instrument them in its process."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_kcevents.model.event import Event
from otel_kcevents.plugin.instrumentation import Instrumentation
from otel_kcevents.plugin.mapping import mapping_of
from otel_kcevents.plugin.namespaces import namespace_of
from otel_kcevents.store.log import default_log

__all__ = ["MappedProgram", "program"]


class MappedProgram:
    """Modules that a test writes and imports, and the mapping that instruments them in this process.

    Args:
        folder: A folder on `sys.path`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self._detach = default_log.attach(lambda event, *ids: self.events.append(event))
        self._modules = set(sys.modules)
        self._started: list[Instrumentation] = []

    def write(self, source: str, name: str = "program") -> Path:
        """Write a module, whose name may have dots."""
        path = self.folder.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        importlib.invalidate_caches()
        return path

    def load(self, source: str, name: str = "program") -> Any:
        """Write and import a module."""
        self.write(source, name)
        return importlib.import_module(name)

    def instrument(self, *entries: str | dict[str, Any]) -> Instrumentation:
        """Begin with a mapping of these entries, or of these targets, whose calls are recorded as `total`."""
        functions = [{"target": entry} if isinstance(entry, str) else entry for entry in entries]
        functions = [{"record": "allocation.total", **entry} for entry in functions]
        mapping = mapping_of({"functions": functions}, "kcevents.toml")
        assert not mapping.problems, mapping.problems
        self._started.append(Instrumentation(mapping))
        self._started[-1].begin()
        return self._started[-1]

    def count(self, call: Callable[[], object]) -> int:
        """Return the number of events that a call records."""
        before = len(self.events)
        call()
        return len(self.events) - before

    def close(self) -> None:
        """End everything, and forget the modules."""
        while self._started:
            self._started.pop().end()
        self._detach()
        for name in set(sys.modules) - self._modules:
            file = (namespace_of(sys.modules[name]) or {}).get("__file__")
            if file is None or self.folder in Path(file).parents:  # libraries stay imported
                del sys.modules[name]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MappedProgram]:
    """Modules to write, import and instrument in this process."""
    monkeypatch.syspath_prepend(tmp_path)
    program = MappedProgram(tmp_path)
    yield program
    program.close()
