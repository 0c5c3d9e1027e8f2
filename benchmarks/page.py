"""The page of a journal with many events relative to one with few: until a browser shows it, and what the server takes.

The journals hold hourly windows of two pipelines, up to now; in the large one, a year of windows was processed again
and again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, time_ns
from urllib.request import urlopen

from benchmarks.measure import Rounds, Row
from otel_kcevents import Event, Journal, Window, start_http_server
from otel_kcevents.model.event import Failure
from otel_kcevents.model.timestamps import SECOND, to_datetime
from otel_kcevents.store.journal_file import JournalFile
from otel_kcevents.store.journal_rows import Batch, Entry
from otel_kcevents.store.log import etl_of
from otel_kcevents.store.run import Run

__all__ = ["rows"]

_HOUR = 3_600 * SECOND
_YEAR = 8_760  # hours
_KINDS = [
    f"{name}{outcome}"
    for name in ("AllocationSet", "AssetSet")
    for outcome in ("Loaded", "Saved", "Aggregated", "Totaled", "Reconciled")
]
_OF_A_RUN = 2_000  # events
_BATCH = 50  # events that are written at once; writers check their journal after 64
_PARTS = (
    ("the verdict", "#verdict .verdict"),
    ("the grid", "#grid tbody td[aria-label]"),
    ("everything", "#events tbody tr"),
)
_REQUESTS = ("coverage?window=7d", "runs?limit=20", "events?error=true&limit=256", "events?limit=50")
_WATCH = """
    const seen = window.seen = {}, parts = %r;
    new MutationObserver(() => {
        for (const part of parts) if (!(part in seen) && document.querySelector(part)) seen[part] = performance.now();
    }).observe(document, {childList: true, subtree: true, attributes: true});
"""


def rows(quick: bool) -> Iterator[Row]:
    """Measure both journals in turn, each time in a new context of the browser."""
    few, many, rounds = (2_000, 10_000, 3) if quick else (10_000, 1_000_000, 15)
    with TemporaryDirectory() as folder, ExitStack() as closing:
        journals = [_journal(Path(folder) / f"{number}.db", number) for number in (many, few)]
        servers = [closing.enter_context(start_http_server(0, log=log, max_load=1)) for log in journals]
        urls = [server.url.removesuffix("model/etl/log") for server in servers]
        relative = f"the same with {few:,}"
        for request in _REQUESTS:
            taken = [[_taken(f"{url}model/etl/{request}") for url in urls] for _ in range(rounds)]
            yield Row(f"GET {request} of a journal with {many:,} events", relative, taken, "ms", "1.5")
        yield from _browser_rows(urls, f"until {{}} of the page is shown, {many:,} events", relative, rounds)


def _journal(path: Path, number: int) -> Journal:
    """Return a journal with this number of events; each hour has one of each kind, and one in a thousand failed."""
    hours, end = number // len(_KINDS), time_ns() // _HOUR * _HOUR
    file = JournalFile(str(path), 100_000, None, etl_of)
    entries: list[Entry] = []
    failure = Failure("ValueError", "no price for disks", "aggregate")
    for first in range(0, number, _OF_A_RUN):
        started = end - (number - first) * SECOND
        run = Run(f"{first + 1:016x}", None, "costs", "etl.py", "costs", "host", 7, started)
        for n in range(first, min(first + _OF_A_RUN, number)):
            age = (hours - 1 - n // len(_KINDS)) % _YEAR + 1
            window = Window(to_datetime(end - age * _HOUR), to_datetime(end - age * _HOUR + _HOUR))
            kind = "AssetSetComputeError" if n % 1_000 == 7 else _KINDS[n % len(_KINDS)]
            is_error = kind.endswith("Error")
            time, size = end - (number - n) * SECOND, None if is_error else 97
            event = Event(kind, time, size, window, failure if is_error else None)
            entries.append(Entry(event, n + 1, n // _OF_A_RUN + 1))
            if len(entries) == _BATCH:
                file.write(run, Batch(tuple(entries), n - first + 1), 60)
                entries.clear()
        file.end(run, "ended", None, 60, True)
    file.close()
    return Journal(path)


def _taken(url: str) -> float:
    start = perf_counter()
    with urlopen(url, timeout=60) as response:
        response.read()
    return (perf_counter() - start) * 1000


def _browser_rows(urls: list[str], what: str, relative: str, rounds: int) -> Iterator[Row]:
    """Measure the page in the browser, by the browser's own clock, from the navigation on."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        program = None
    if program is None:
        yield Row("the page in a browser", note="not installed: playwright or Chromium")
        return
    taken: dict[str, Rounds] = {name: [] for name, _ in _PARTS}
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=arguments)

        def show(url: str) -> dict[str, float]:
            with browser.new_context() as context:
                context.add_init_script(_WATCH % [selector for _, selector in _PARTS])
                page = context.new_page()
                page.goto(url)
                for _, selector in _PARTS:
                    page.locator(selector).first.wait_for()
                seen: dict[str, float] = page.evaluate("window.seen")
                return seen

        show(urls[0])  # starts the browser's processes
        measured = [[show(url) for url in urls] for _ in range(rounds)]
    for name, selector in _PARTS:
        taken[name] = [[seen[selector] for seen in both] for both in measured]
        yield Row(what.format(name), relative, taken[name], "ms", "1.2")
