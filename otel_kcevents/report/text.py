"""`ReportText`: the lines of a report, every value of which is redacted."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from otel_kcevents.model.messages import error_message, type_name
from otel_kcevents.report.redaction import Redactor, printable

__all__ = ["ReportText"]

_MAX_BLOCK = 40_000  # characters of a stack trace


class ReportText:
    """Collects the lines of a report. Headings and labels are fixed; every value is redacted and takes one line.

    Args:
        redact: Removes what a report must not hold from a value.

    Attributes:
        lines: The lines so far.
        fixed: The headings and labels so far.
    """

    lines: list[str]
    fixed: list[str]

    def __init__(self, redact: Redactor) -> None:
        self._redact = redact
        self.lines = []
        self.fixed = []

    def section(self, title: str, write: Callable[[], None]) -> None:
        """Add a section. If it cannot be written, it says why.

        Args:
            title: The heading.
            write: Adds the lines of the section.
        """
        self.lines += ["", f"== {title} =="]
        self.fixed.append(title)
        before = len(self.lines)
        try:
            write()
            self.lines += [] if len(self.lines) > before else ["none"]
        except Exception as error:  # the rest of the report is needed all the more
            self.add("not available", f"{type_name(error)}: {error_message(error)}")

    def add(self, label: str, value: str) -> None:
        """Add a line.

        Args:
            label: The label; it is not redacted.
            value: The value.
        """
        self.fixed.append(label)
        self.lines.append(f"{label}: {printable(self._redact(value))}")

    def add_all(self, facts: Iterable[tuple[str, str]]) -> None:
        """Add a line for each pair of a label and a value.

        Args:
            facts: The pairs.
        """
        for label, value in facts:
            self.add(label, value)

    def add_values(self, *values: str | None, indent: str = "") -> None:
        """Add a line of several values.

        Args:
            values: The values; None and empty ones are omitted.
            indent: What the line begins with.
        """
        if shown := [printable(self._redact(value)) for value in values if value]:
            self.lines.append(indent + "  ".join(shown))

    def add_block(self, text: str) -> None:
        """Add several lines, such as a stack trace, without the middle if they are very long.

        Args:
            text: The lines.
        """
        text = self._redact.lines(text)
        if len(text) > _MAX_BLOCK:
            start, end = text[: _MAX_BLOCK // 2].rpartition("\n")[0], text[-_MAX_BLOCK // 2 :].partition("\n")[2]
            text = f"{start}\n[...]\n{end}"
        for line in text.splitlines():
            self.add_values(line, indent="  ")
