"""Runs a program, and counts calls of its functions: `count_calls.py FILE NAME,NAME -m MODULE|SCRIPT [ARGUMENT...]`.

It knows nothing of mappings: `sys.setprofile` reports each call. A NAME is that of a function, or for a method
`CLASS.NAME` with the class of its object. The counts go to FILE as JSON, however the program ends.
"""

from __future__ import annotations

import json
import runpy
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

file, names, *sys.argv = sys.argv[1:]
counted = {name.rpartition(".")[2] for name in names.split(",")}
calls: Counter[str] = Counter()


def count(frame: FrameType, event: str, _: object) -> None:
    name = frame.f_code.co_name
    if event == "call" and name in counted:
        instance = frame.f_locals.get("self")
        calls[name if instance is None else f"{type(instance).__name__}.{name}"] += 1


sys.setprofile(count)
try:
    if sys.argv[0] == "-m":
        sys.argv = sys.argv[1:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(sys.argv[0]).parent)
        runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    sys.setprofile(None)
    Path(file).write_text(json.dumps({name: calls[name] for name in names.split(",")}), encoding="utf-8")
