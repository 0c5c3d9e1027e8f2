"""What an event is: kinds, times, windows, the log's JSON and the attributes of spans.

Uses only the standard library, and no other part of the package.
"""

__all__: list[str] = []
