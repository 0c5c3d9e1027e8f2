"""Reads a journal, with `nobody` as a user without any rights; prints counters, number of events and outcomes."""

from __future__ import annotations

import json
import os
import sys

from otel_kcevents import Journal, JournalError

journal = Journal(sys.argv[1])
if "nobody" in sys.argv and os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    outcomes = [run["outcome"] for run in journal.runs()]
    print(json.dumps([journal.counts(), len(journal.events().events), outcomes]))
except JournalError as error:
    print(json.dumps(str(error)))
