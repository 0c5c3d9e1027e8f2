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
    """Return a function that checks whether the current call of a mapped function comes from certain modules.

    The caller is the nearest frame on the stack that is not skipped. Frames of this package are always skipped. Frames
    of the standard library, OpenTelemetry, wrapt, tenacity, stamina, backoff and anyio are skipped unless a glob
    matches them, and those of the function's own package unless a glob names modules of it. The caller of a generator
    is the code that requests its first item. The caller of a coroutine is the code that awaits it, or that starts the
    event loop that runs it as a task.

    Args:
        globs: Names of modules, or paths of files that end in `.py`; both may be globs.
        function: The mapped function.
    """
    package = module_of(function).partition(".")[0]
    names_own = any(fnmatchcase(package, glob.partition(".")[0]) for glob in globs if not glob.endswith(".py"))
    skipped = _ON_BEHALF if names_own else _ON_BEHALF | {package}

    @lru_cache(maxsize=1024)
    def decide(name: str, file: str) -> bool | None:
        """Return whether a glob matches a module; None if the frame is skipped."""
        for glob in globs:
            subject = file if glob.endswith(".py") else name
            if fnmatchcase(subject, glob) or (glob.endswith(".py") and fnmatchcase(file, f"*/{glob}")):
                return True
        return None if name.partition(".")[0] in skipped else False

    def is_named(frame: FrameType) -> bool | None:
        own = frame.f_globals.get("__name__")
        name = own if type(own) is str else ""
        if name.partition(".")[0] == _OWN or is_shim(frame.f_code):
            return None
        found = decide(name, frame.f_code.co_filename)
        if name == "__main__" and not found:  # `python -m costs.etl`
            spec = getattr(frame.f_globals.get("__spec__"), "name", None)
            return decide(spec, "") if type(spec) is str else found
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
