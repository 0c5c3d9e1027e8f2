"""The bug report: one plain text file about a program and its log, without secrets."""

__all__: list[str] = []
