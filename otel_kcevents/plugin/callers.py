"""`called_from`: whether a mapped function is called from a module that `within` names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from types import FrameType, FunctionType

from otel_kcevents.plugin.calls import module_of
from otel_kcevents.record.shim import is_shim

__all__ = ["called_from"]

_OWN = __name__.partition(".")[0]
# Modules whose functions call other functions on behalf of a program: decorators, thread pools, event loops
_ON_BEHALF = frozenset((*sys.stdlib_module_names, "opentelemetry", "wrapt", "tenacity", "stamina", "backoff", "anyio"))


def called_from(globs: Sequence[str], function: FunctionType) -> Callable[[], bool]:
    """Return a function that returns whether the current call of a mapped function comes from certain modules.

    The caller is the nearest frame on the stack whose module is not one of these, unless a glob matches it: this
    package, the standard library, OpenTelemetry, wrapt, tenacity, stamina, backoff, anyio, and the package of the
    function itself, unless a glob names modules of that package. The caller of a generator is the code that requests
    its first item, that of a coroutine the code that awaits it, or starts the event loop that runs it as a task.

    Args:
        globs: The names of modules, or paths of files that end in `.py`; may be globs.
        function: The mapped function.
    """
    package = module_of(function).partition(".")[0].removeprefix("?")
    names_own = any(fnmatchcase(package, glob.partition(".")[0]) for glob in globs if not glob.endswith(".py"))
    passed_over = _ON_BEHALF if names_own or not package else _ON_BEHALF | {package}

    @lru_cache(maxsize=1024)
    def decide(name: str, file: str) -> bool | None:
        """Return whether a module is named; None if the next frame decides."""
        for glob in globs:
            subject = file if glob.endswith(".py") else name
            if fnmatchcase(subject, glob) or (glob.endswith(".py") and fnmatchcase(file, f"*/{glob}")):
                return True
        return None if name.partition(".")[0] in passed_over else False

    def is_named(frame: FrameType) -> bool | None:
        own = frame.f_globals.get("__name__")
        name = own if type(own) is str else ""
        if name.partition(".")[0] == _OWN or is_shim(frame.f_code):
            return None
        found = decide(name, frame.f_code.co_filename)
        if name == "__main__" and not found:  # `python -m costs.etl`
            spec = getattr(frame.f_globals.get("__spec__"), "name", None)
            return decide(spec, "") or found if type(spec) is str else found
        return found

    def check() -> bool:
        frame = sys._getframe(1).f_back
        while frame is not None:
            found = is_named(frame)
            if found is not None:
                return found
            frame = frame.f_back
        return False

    return check
