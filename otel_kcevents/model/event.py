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
"""The largest size: the largest integer that OTLP can represent."""


class Outcome(NamedTuple):
    """How an operation can end.

    Attributes:
        name: The name, such as `compute_error`.
        suffix: The suffix of the names of its kinds, such as `ComputeError`.
        sized: Whether its events have a size.
        error: Whether the operation failed.
    """

    name: str
    suffix: str
    sized: bool = False
    error: bool = False

    @property
    def fields(self) -> tuple[str, ...]:
        """The documented metadata fields of the events."""
        size = ("size",) if self.sized else ()
        failure = ("error", "operation") if self.error else ()
        return (*size, "window", *failure)


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
"""The outcomes by name, in the documented order."""

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
"""The outcomes of each operation: on success (None if no kind is documented for it) and on failure."""


class Kind(NamedTuple):
    """A kind of event.

    Attributes:
        name: The name in the log, such as `AssetSetSaved`.
        etl: The pipeline, whose name is the key of the list in the log, such as `asset`.
        outcome: How the operation ended.
    """

    name: str
    etl: str
    outcome: Outcome


def is_name(text: str) -> bool:
    """Return whether *text* can name an etl or a set: ASCII letters, digits and `_`, not starting with a digit."""
    return text.isascii() and text.isidentifier()


def kinds_of(etl: str, set_name: str) -> dict[str, Kind]:
    """Return the kinds of a set by outcome; `kinds_of("asset", "AssetSet")["saved"].name` is `AssetSetSaved`."""
    return {name: Kind(set_name + outcome.suffix, etl, outcome) for name, outcome in OUTCOMES.items()}


DOCUMENTED: Mapping[str, str] = MappingProxyType({"allocation": "AllocationSet", "asset": "AssetSet"})
"""The names of the documented sets by etl."""

KINDS: Mapping[str, Kind] = MappingProxyType(
    {kind.name: kind for etl, set_name in DOCUMENTED.items() for kind in kinds_of(etl, set_name).values()}
)
"""The 14 documented kinds by name, in the documented order."""


class Failure(NamedTuple):
    """Why an operation failed.

    Attributes:
        type: The type of the error, such as `OSError`.
        message: The message of the error.
        operation: The operation that failed, such as `save`; None if unknown.
    """

    type: str
    message: str
    operation: str | None = None


class Event(NamedTuple):
    """One event of the log; immutable and hashable.

    Attributes:
        kind: The name of the kind, such as `AssetSetSaved`.
        time: When it happened, in nanoseconds since 1970 (UTC).
        size: The number of records in the set, from 0 to `MAX_SIZE`; None if unknown.
        window: The period that the set covers; None if unknown.
        failure: Why the operation failed; None for a success.
        extra: Metadata that this package does not know, as a JSON object; None if there is none.
    """

    kind: str
    time: int
    size: int | None = None
    window: Window | None = None
    failure: Failure | None = None
    extra: str | None = None

    @property
    def is_error(self) -> bool:
        """Whether it reports a failure: its kind ends in `Error`, or its metadata has an error, in any form."""
        if self.failure is not None or self.kind.removesuffix("Event").endswith("Error"):
            return True
        return self.extra is not None and json.loads(self.extra).get("error") not in (None, "", False)

    def to_dict(self) -> dict[str, Any]:
        """Return the event in the form of the log's JSON: `kind`, `metadata` and `time`, in this order."""
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
