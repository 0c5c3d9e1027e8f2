"""The log document at the end of a bug report is found, whatever else the report holds."""

from __future__ import annotations

import pytest

from otel_kcevents.model.report_form import FIRST_LINE, LOG_HEADING, log_in_report

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
