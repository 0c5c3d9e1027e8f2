"""The plugin: instruments the functions of programs that nobody may edit, as a mapping file says."""

__all__: list[str] = []
