"""`LateRecorder`: the recorder of an unpickled function, which may be incomplete until its first call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from otel_kcevents.record.recorder import CallRecorder

__all__ = ["LateRecorder"]


class LateRecorder(CallRecorder):
    """Records the calls of an unpickled function, whose signature it reads at the first call.

    A function that is pickled by value and refers to itself, by its own name or through other functions, is complete
    only after its recorder: until then it has neither defaults nor attributes.

    Args:
        build: Returns a recorder of the function once that is complete. It must not raise.
        remade_from: See `CallRecorder`.
    """

    def __init__(
        self, build: Callable[[], CallRecorder], remade_from: tuple[Callable[..., Any], tuple[Any, ...]]
    ) -> None:
        self._build = build
        self._remade_from = remade_from
        self.reads_before = True  # a wrapper may ask for it before the first call; then `begin` decides

    def __getattr__(self, name: str) -> Any:
        """Take over the attributes of the built recorder when the first call needs one of them."""
        if name.startswith("__"):  # pickle and copy look for methods
            raise AttributeError(name)
        recorder = self._build()
        # Unpickled again for each task of a worker, the function still warns once.
        recorder._warned = recorder.target.warned.setdefault(recorder.name, recorder._warned)
        self.__dict__.update(vars(recorder))
        return getattr(recorder, name)
