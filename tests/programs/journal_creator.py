"""A program that creates a journal, or migrates it, for each line on stdin: arguments PATH, and `slowly` or nothing.

Each line is the number of the journal, which is added to its path.
"""

from __future__ import annotations

import sys
from contextlib import closing

from otel_kcevents.model.event import Event
from otel_kcevents.store.journal_file import JournalFile
from otel_kcevents.store.journal_rows import MIGRATIONS, Batch, Entry
from otel_kcevents.store.log import etl_of
from otel_kcevents.store.run import current_run

path, *how = sys.argv[1:]
migrations = list(MIGRATIONS)
if how:  # it takes seconds, and does not fit into the cache
    migrations.append(
        "CREATE TABLE filler AS WITH RECURSIVE "
        "number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number LIMIT 5000000) SELECT n, hex(n) FROM number; "
    )
print("ready", flush=True)
for line in sys.stdin:
    with closing(JournalFile(path + line.strip(), None, None, etl_of, migrations)) as file:
        file.write(current_run(), Batch((Entry(Event("AssetSetSaved", 1, 1), 0, 0),), 1), 5)
    print("written", flush=True)
