"""Functions that mappings name, for `save_days.py` and other programs."""

from __future__ import annotations


def save(rows: list[int], window: str) -> list[int]:
    """Save a day."""
    return rows


def load(window: str) -> list[int]:
    """Load a day."""
    return [1, 2]
