"""What an event is: kinds, outcomes, operations, `Event`, `Failure`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from otel_kcevents.model.timestamps import format_time
from otel_kcevents.model.window import Window

__all__ = [
    "DOCUMENTED",
    "KINDS",
    "MAX_SIZE",
    "OPERATIONS",
    "OUTCOMES",
    "Event",
    "Failure",
    "Kind",
    "Outcome",
    "is_name",
    "kinds_of",
]

MAX_SIZE = 2**63 - 1
"""The largest size: what an OTLP integer holds."""


class Outcome(NamedTuple):
    """How an operation can end: its name, what ends the kind's name, and what the event tells."""

    name: str
    suffix: str
    sized: bool = False
    error: bool = False


OUTCOMES: Mapping[str, Outcome] = MappingProxyType(
    {
        outcome.name: outcome
        for outcome in (
            Outcome("saved", "Saved", sized=True),
            Outcome("loaded", "Loaded", sized=True),
            Outcome("aggregated", "Aggregated", sized=True),
            Outcome("totaled", "Totaled"),
            Outcome("reconciled", "Reconciled"),
            Outcome("compute_error", "ComputeError", error=True),
            Outcome("reconcile_error", "ReconcileError", error=True),
        )
    }
)
"""The outcomes by name, in the order of the document's table."""

OPERATIONS: Mapping[str, tuple[str | None, str]] = MappingProxyType(
    {
        "save": ("saved", "compute_error"),
        "load": ("loaded", "compute_error"),
        "aggregate": ("aggregated", "compute_error"),
        "total": ("totaled", "compute_error"),
        "reconcile": ("reconciled", "reconcile_error"),
        "compute": (None, "compute_error"),
    }
)
"""Each operation's outcome when it succeeds (None: no kind is documented) and when it fails."""


class Kind(NamedTuple):
    """One kind of event: its name as in the log, the log's list it belongs to, and what it tells."""

    name: str
    etl: str
    outcome: Outcome


def is_name(text: str) -> bool:
    """Whether a text can name an etl or a set: ASCII letters, digits and `_`, no digit first."""
    return text.isascii() and text.isidentifier()


def kinds_of(etl: str, set_name: str) -> dict[str, Kind]:
    """The seven kinds of one set by outcome: `kinds_of("asset", "AssetSet")["saved"].name` is `AssetSetSaved`."""
    return {name: Kind(set_name + outcome.suffix, etl, outcome) for name, outcome in OUTCOMES.items()}


DOCUMENTED = {"allocation": "AllocationSet", "asset": "AssetSet"}

KINDS: Mapping[str, Kind] = MappingProxyType(
    {kind.name: kind for etl, set_name in DOCUMENTED.items() for kind in kinds_of(etl, set_name).values()}
)
"""The 14 documented kinds by name, in the document's order."""


class Failure(NamedTuple):
    """What an error event tells: the error's type, its message, and the operation that failed."""

    type: str
    message: str
    operation: str | None = None


class Event(NamedTuple):
    """One thing that happened to a set.

    `kind` is a name as in the log, `time` nanoseconds since 1970 (UTC), `size` the number of records in the
    set (exact, 0 to 2**63 - 1), `window` the period that the set covers, `failure` what went wrong.
    """

    kind: str
    time: int
    size: int | None = None
    window: Window | None = None
    failure: Failure | None = None
    extra: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The event in the log's form: `kind`, `metadata`, `time`, in this order."""
        metadata: dict[str, Any] = {}
        if self.size is not None:
            metadata["size"] = self.size
        if self.window is not None:
            metadata["window"] = {"start": self.window.start_text, "end": self.window.end_text}
        if self.failure is not None:
            metadata["error"] = {"type": self.failure.type, "message": self.failure.message}
            if self.failure.operation is not None:
                metadata["operation"] = self.failure.operation
        if self.extra is not None:
            metadata.update(json.loads(self.extra))
        return {"kind": self.kind, "metadata": metadata, "time": format_time(self.time)}
