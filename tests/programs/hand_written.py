"""`hand_written.py WAY`: put an event of a known kind on a span, as a program without this package does, and end."""

from __future__ import annotations

import os
import signal
import sys
import time

from opentelemetry import trace


@trace.get_tracer("billing").start_as_current_span("save assets")
def save() -> None:
    trace.get_current_span().add_event("AssetSetSaved", {"kcevents.size": 29})


save()
if sys.argv[1] == "terminate":
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
if sys.argv[1] == "raise":
    raise KeyError("bill")
