"""The argument of the commands that read a mapping."""

from __future__ import annotations

import os

from otel_kcevents.cli.sources import CommandError
from otel_kcevents.plugin.mapping import Mapping, read_mapping

__all__ = ["read_mapping_file"]


def read_mapping_file(name: str) -> Mapping:
    """Return the mapping of a file, which may have mistakes.

    Args:
        name: The name of the file.

    Raises:
        CommandError: The file cannot be read.
    """
    path = os.path.abspath(name)
    mapping = read_mapping(path)
    if not os.path.isfile(path) or not os.access(path, os.R_OK):
        raise CommandError(" ".join(map(str, mapping.problems)))
    return mapping
