"""The log over HTTP."""

__all__: list[str] = []
