"""Write the pictures of the page in `docs/images/`, from the journal of `examples/troubled_week.py`.

    .venv/bin/python docs/screenshots.py

It needs the extra `test` and Chromium.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import expect, sync_playwright

from otel_kcevents import Journal, start_http_server

DOCS = Path(__file__).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class NamedJournal(Journal):
    """A journal whose path on the page is not that of the machine that takes the pictures."""

    def __str__(self) -> str:
        return "/var/lib/costs/kcevents.db"


def take(url: str) -> None:
    """Take the pictures of a page: in light colours, and in dark ones with a window in the drawer."""
    images = DOCS / "images"
    images.mkdir(exist_ok=True)
    program = next(filter(None, map(shutil.which, BROWSERS)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        light = browser.new_page(color_scheme="light", viewport={"width": 1_280, "height": 840})
        light.goto(url)
        expect(light.locator("#events tbody tr").first).to_be_visible()
        light.screenshot(path=images / "page-light.png")
        dark = browser.new_page(color_scheme="dark", viewport={"width": 1_440, "height": 900})
        dark.goto(url)
        dark.locator("#grid td.failed").click()
        expect(dark.locator("#drawer ol li").first).to_be_visible()
        dark.screenshot(path=images / "page-dark.png")


def main() -> None:
    """Write the journal, serve it, and take the pictures."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "costs.db"
        week = DOCS.parent / "examples" / "troubled_week.py"
        command = [sys.executable, str(week), str(file), "--running"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder) as program:
            assert program.stdout is not None
            program.stdout.readline()
            trace_url = "http://localhost:16686/trace/{trace_id}"
            with start_http_server(0, log=NamedJournal(file), max_load=1, trace_url=trace_url) as server:
                take(server.url.removesuffix("model/etl/log"))


if __name__ == "__main__":
    main()
