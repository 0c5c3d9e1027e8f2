"""The form of a bug report: a first line that identifies it, text, and the log document at its end."""

from __future__ import annotations

from otel_kcevents.model.timestamps import parse_time, pattern

__all__ = ["AS_OF_LABEL", "FIRST_LINE", "LOG_HEADING", "REPORT_PATH", "WRITTEN_LABEL", "log_in_report", "report_time"]

REPORT_PATH = "/model/etl/report"
"""Where a server answers with the report."""

FIRST_LINE = "otel-kcevents report 1"
"""The first line of a report, with the version of its form."""

WRITTEN_LABEL = "written"
"""The label of the time when the report was written."""

AS_OF_LABEL = "log as of"
"""The label of the time that the log shows, if it had been saved earlier than the report was written."""

LOG_HEADING = "== Log =="
"""The line before the log document, which goes to the end of the report."""


def log_in_report(content: bytes) -> bytes:
    """Return the log document at the end of a report; other content is returned as it is.

    Args:
        content: The content of a file, as UTF-8. Line breaks may have become CRLF, as some programs send them.
    """
    parts = _split(content)
    return content if parts is None else parts[1]


def report_time(content: bytes) -> int | None:
    """Return the time that the log of a report shows, in nanoseconds since 1970; None for other content.

    Args:
        content: The content of a file, as UTF-8.
    """
    parts = _split(content)
    if parts is None:
        return None
    lines = parts[0].decode(errors="replace")
    for label in (AS_OF_LABEL, WRITTEN_LABEL):
        if match := pattern(rf"\n{label}: (\S+)").search(lines):
            try:
                return parse_time(match[1])
            except ValueError:  # somebody edited the report
                continue
    return None


def _split(content: bytes) -> tuple[bytes, bytes] | None:
    """Return the text of a report and the log document at its end; None if the content is not a report."""
    text = content.removeprefix(b"\xef\xbb\xbf")  # a byte order mark, which some editors add
    if text.partition(b"\n")[0].rstrip(b"\r") != FIRST_LINE.encode():
        return None
    # The last such line: a string in the document cannot contain a line break.
    lines, heading, document = text.replace(b"\r\n", b"\n").rpartition(f"\n{LOG_HEADING}\n".encode())
    return (lines, document) if heading else None
