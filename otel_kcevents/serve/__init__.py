"""The log over HTTP: one pure function, the applications around it, and an embedded server with limits."""

__all__: list[str] = []
