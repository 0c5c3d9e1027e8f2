"""The plugin: instruments the functions of programs that nobody may edit, as a mapping specifies."""

__all__: list[str] = []
