"""Functions that mappings in tests name as `module:function`."""

from __future__ import annotations

from typing import Any

NOT_A_FUNCTION = 5


def window_of(call: Any) -> Any:
    """Return the window of a call."""
    return call.arguments["job"]["day"]


def size_of(call: Any) -> int:
    """Return the size of a call from its arguments and its result."""
    return len(call.arguments["mode"]) * len(call.result)


def has_failed(result: Any) -> bool:
    """Return whether a result means a failure."""
    return bool(result["state"] == "failed")
