"""Print as JSON what could slow this program down: code that runs at imports or calls, and the imported modules."""

from __future__ import annotations

import builtins
import json
import sys
import threading
from importlib.machinery import ExtensionFileLoader, SourceFileLoader, SourcelessFileLoader
from typing import Any


def _code(function: Any) -> str:
    code = getattr(function, "__code__", None)
    return repr(function) if code is None else code.co_code.hex()


def main() -> None:
    """Print the hooks and the modules."""
    monitoring: Any = getattr(sys, "monitoring", None)  # since Python 3.12
    loaders = (SourceFileLoader, SourcelessFileLoader, ExtensionFileLoader)
    hooks = {
        "loaders": [_code(loader.exec_module) for loader in loaders],
        "finders": [getattr(finder, "__qualname__", type(finder).__qualname__) for finder in sys.meta_path],
        "path hooks": len(sys.path_hooks),
        "import": repr(builtins.__import__),
        "trace": [repr(type(sys.gettrace())), repr(type(sys.getprofile()))],
        "threads": [repr(type(threading._trace_hook)), repr(type(threading._profile_hook))],  # type: ignore[attr-defined]
        "tools": [monitoring.get_tool(number) for number in range(6)] if monitoring else [],
    }
    print(json.dumps({"hooks": hooks, "modules": sorted(sys.modules)}))


if __name__ == "__main__":
    main()
