"""What an event is: kinds, times, windows, the log's JSON and the attributes of spans.

Uses the standard library only, and nothing else of the package.
"""

__all__: list[str] = []
