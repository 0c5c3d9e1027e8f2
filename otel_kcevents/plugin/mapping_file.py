"""`load_file`: parses the file of a mapping, with errors that a person can act on."""

from __future__ import annotations

import os
import stat
import sys
from importlib import import_module
from typing import Any

from otel_kcevents.model.messages import short_repr

__all__ = ["MAX_BYTES", "load_file"]

MAX_BYTES = 2**18
"""The maximum size of a file; a mapping of 1000 entries is smaller."""


def load_file(path: str) -> Any:
    """Return the content of a file: YAML if its name ends in `.yaml` or `.yml`, otherwise TOML.

    Args:
        path: The path of the file.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not a regular file, too large, not UTF-8 or not valid, or its parser is not installed.
    """
    text = _read(path)
    if path.lower().endswith((".yaml", ".yml")):
        return _parse_yaml(text)
    toml = _parser("tomllib" if sys.version_info >= (3, 11) else "tomli", "tomli")
    try:
        return toml.loads(text)
    except RecursionError:
        raise ValueError("the values are nested too deeply") from None
    except ValueError as error:
        message = "" if path.lower().endswith(".toml") else "; the name of a YAML file must end in .yaml or .yml"
        raise ValueError(f"it is not valid TOML: {error}{message}") from None


def _read(path: str) -> str:
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):  # reading a pipe or a terminal could block
            what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise ValueError(f"it is {what}; name a file such as kcevents.toml")
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ValueError(f"the file does not exist{_neighbour(path)}") from None
    except OSError as error:
        raise ValueError(f"the file cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise ValueError(f"the file is larger than {MAX_BYTES} bytes, the limit for a mapping")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"it is not UTF-8: line {line} has the byte 0x{data[error.start]:02x}; save it as UTF-8"
        ) from None


def _neighbour(path: str) -> str:
    """Return the end of a message about a file that does not exist: the file in its folder with the nearest name."""
    import difflib

    folder, name = os.path.split(os.path.abspath(path))
    try:
        near = difflib.get_close_matches(name, os.listdir(folder), 1)
    except OSError:
        return f"; the working directory is {short_repr(os.getcwd(), 200)}"
    return f"; did you mean {near[0]!r}?" if near else f"; the folder is {short_repr(folder, 200)}"


def _parse_yaml(text: str) -> Any:
    yaml = _parser("yaml", "PyYAML")
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _refuse_duplicates(node, yaml)
        return loader.construct_document(node)
    except RecursionError:
        raise ValueError("the values are nested too deeply") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" (at line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ValueError(f"it is not valid YAML: {error.problem or error.context}{place}") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # such as a date with month 13
        raise ValueError(f"it is not valid YAML: {' '.join(str(error).split())}; a string may need quotes") from None


def _refuse_duplicates(root: Any, yaml: Any) -> None:
    """Raise if a mapping has a key twice: PyYAML would use the last one, and silently lose entries."""
    nodes, seen = [root], set[int]()
    while nodes:
        node = nodes.pop()
        if id(node) in seen or isinstance(node, yaml.ScalarNode):  # aliases refer to the same node
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
            continue
        keys = set[tuple[str, str]]()
        for key, value in node.value:
            nodes.append(value)
            if not isinstance(key, yaml.ScalarNode):
                continue
            if (key.tag, key.value) in keys:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {short_repr(key.value)} appears twice", key.start_mark
                )
            keys.add((key.tag, key.value))


def _parser(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError:
        raise ValueError(f"this file needs {package}, which is not installed; run pip install {package}") from None
