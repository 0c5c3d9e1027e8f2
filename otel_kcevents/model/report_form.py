"""The form of a bug report: a first line that identifies it, text, and the log document at its end."""

from __future__ import annotations

__all__ = ["FIRST_LINE", "LOG_HEADING", "REPORT_PATH", "log_in_report"]

REPORT_PATH = "/model/etl/report"
"""Where a server answers with the report."""

FIRST_LINE = "otel-kcevents report 1"
"""The first line of a report, with the version of its form."""

LOG_HEADING = "== Log =="
"""The line before the log document, which goes to the end of the report."""


def log_in_report(content: bytes) -> bytes:
    """Return the log document at the end of a report; other content is returned as it is.

    Args:
        content: The content of a file, as UTF-8. Line breaks may have become CRLF, as some programs send them.
    """
    text = content.removeprefix(b"\xef\xbb\xbf")  # a byte order mark, which some editors add
    if text.partition(b"\n")[0].rstrip(b"\r") != FIRST_LINE.encode():
        return content
    # The last such line: a string in the document cannot contain a line break.
    _, heading, document = text.replace(b"\r\n", b"\n").rpartition(f"\n{LOG_HEADING}\n".encode())
    return document if heading else content
