"""A program with a journal, which emits the events that stdin asks for: argument PATH, lines `EMIT FIRST COUNT`."""

from __future__ import annotations

import sys

from troubled import TroubledProgram

program = TroubledProgram(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    _, first, count = line.split()
    program.emit(int(first), int(count))
    print(f"{program.longest:f} {program.total:f}", flush=True)
