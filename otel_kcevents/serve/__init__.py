"""The log over HTTP: one pure function, WSGI and ASGI applications, and an embedded server with limits."""

__all__: list[str] = []
