"""The log document at the end of a bug report is found, whatever else the report holds."""

from __future__ import annotations

import pytest

from otel_kcevents.model.report_form import FIRST_LINE, LOG_HEADING, log_in_report, report_time
from otel_kcevents.model.timestamps import parse_time

REPORT = f"{FIRST_LINE}\nanything\n\n{LOG_HEADING}\n" + '{\n  "code": 200\n}\n'


@pytest.mark.parametrize(
    "report",
    [
        REPORT,
        REPORT.replace("\n", "\r\n"),
        f"\ufeff{REPORT}",
        REPORT.replace("anything", f"a message with a line\n{LOG_HEADING}\nin it"),
    ],
    ids=["as written", "CRLF", "byte order mark", "heading in a message"],
)
def test_document_is_found(report: str) -> None:
    assert log_in_report(report.encode()) == b'{\n  "code": 200\n}\n'


@pytest.mark.parametrize("content", [b"", b'{"code": 200}', f"x{REPORT}".encode(), f"{FIRST_LINE}\ncut".encode()])
def test_other_content_is_unchanged(content: bytes) -> None:
    assert log_in_report(content) == content


@pytest.mark.parametrize(
    ("lines", "time"),
    [
        ("written: 2024-09-02T05:12:00Z by x\nanything", "2024-09-02T05:12:00Z"),
        ("written: 2024-09-03T00:00:00Z by x\nlog as of: 2024-09-02T05:12:00.5Z", "2024-09-02T05:12:00.5Z"),
        ("written: 2024-09-02T05:12:00Z by x\nlog as of: lunch", "2024-09-02T05:12:00Z"),
        ("written: lunch", None),
        ("  written: 2024-09-02T05:12:00Z", None),
    ],
    ids=["written", "of a saved log", "edited", "both edited", "in a message"],
)
@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
def test_time_of_the_log_is_found(lines: str, time: str | None, line_break: str) -> None:
    report = REPORT.replace("anything", lines).replace("\n", line_break)
    assert report_time(report.encode()) == (time and parse_time(time))


def test_other_content_has_no_time() -> None:
    assert report_time(b"written: 2024-09-02T05:12:00Z") is None
