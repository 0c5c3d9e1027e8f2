"""What notebooks show of logs."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from otel_kcevents import Document, Event, EventLog, Failure, Journal, RemoteLog, Window, start_http_server
from otel_kcevents.model.timestamps import SECOND, parse_time
from otel_kcevents.store.merged_source import merge

NOON = parse_time("2024-09-02T12:00:00Z")
SCRIPT = "<script>alert('x')</script>"


class _Texts(HTMLParser):
    """The tags of HTML, and the strings between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def filled() -> EventLog:
    log = EventLog()
    for number in range(30):
        log.append(Event("AssetSetSaved", NOON + number * SECOND, number, Window.of("2024-09-02")))
    log.append(Event("AssetSetComputeError", NOON + 60 * SECOND, None, None, Failure("ValueError", SCRIPT, "save")))
    return log


def test_log_is_shown_as_its_newest_events_and_counters() -> None:
    html = filled()._repr_html_()
    found = _Texts(html)
    assert found.texts[:6] == ["EventLog(retention=256)", "time", "kind", "size", "window", "details"]
    assert found.texts[6:8] == ["2024-09-02T12:01:00Z", "AssetSetComputeError"]
    assert [text for text in found.texts if text.startswith("2024-09-02T12:00:")][::18] == [
        "2024-09-02T12:00:29Z",
        "2024-09-02T12:00:11Z",
    ]
    assert "the newest 20 of 31 events" in found.texts
    assert found.texts[-6:] == ["kind", "count", "AssetSetComputeError", "1", "AssetSetSaved", "30"]


def test_text_of_an_event_is_never_html() -> None:
    found = _Texts(filled()._repr_html_())
    assert f"ValueError: {SCRIPT}" in found.texts
    assert found.tags == {"div", "p", "strong", "table", "thead", "tbody", "tr", "th", "td"}


def test_long_message_is_shortened() -> None:
    log = EventLog()
    log.append(Event("AssetSetComputeError", NOON, None, None, Failure("E", "long " * 99, "save")))
    assert max(map(len, _Texts(log._repr_html_()).texts)) == 201


def test_empty_log_says_so() -> None:
    assert _Texts(EventLog()._repr_html_()).texts == ["EventLog(retention=256)", "no events"]


def _journal(path: Path, log: EventLog) -> Any:
    journal = Journal(path)
    for event in reversed(log.document().lists["asset"]):
        journal(event)
    return journal


@pytest.mark.parametrize(
    ("source", "title"),
    [
        (lambda path, log, url: _journal(path, log), "Journal {path}"),
        (lambda path, log, url: RemoteLog(url), "{url}"),
        (lambda path, log, url: merge(log), "EventLog(retention=256)"),
        (lambda path, log, url: log.document(limit=20), "Document"),
    ],
)
def test_other_sources_are_displayed_like_a_log(
    source: Callable[[Path, EventLog, str], Any], title: str, tmp_path: Path
) -> None:
    log = filled()
    with start_http_server(0, log=log) as server:
        shown = source(tmp_path / "log.db", log, server.url)._repr_html_()
    expected = title.format(path=tmp_path / "log.db", url=server.url)
    assert _Texts(shown).texts == [expected, *_Texts(log._repr_html_()).texts[1:]]


def test_source_that_cannot_be_read_shows_the_reason(tmp_path: Path) -> None:
    found = _Texts(Journal(tmp_path / "<b>.db")._repr_html_())
    assert "does not exist" in found.texts[-1]
    assert "b" not in found.tags


def test_document_with_wrong_content_is_no_error() -> None:
    """A program may have built it."""
    assert "cannot be read: AttributeError" in Document({"asset": (None,)}, {})._repr_html_()  # type: ignore[dict-item]
