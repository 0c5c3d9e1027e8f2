"""`TraceEvents`: the events of module frames by `sys.settrace`, before Python 3.12."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable
from threading import get_ident
from types import FrameType
from typing import Any

__all__ = ["TraceEvents"]


class TraceEvents:  # pragma: no cover  # Python has one trace function, and coverage needs it
    """Calls functions when the frames of modules start, and before each line of one of them, in the current thread.

    While it is active, each call of a Python function takes longer. It gives way to any other trace function.
    """

    def __init__(self) -> None:
        self._frame: FrameType | None = None
        self._on_line: Callable[[int | None], bool] | None = None
        self._trace = self._on_call
        self._local_trace = self._on_event
        self._is_started = False
        self._is_paused = False

    def start(
        self, code_names: tuple[str, ...], on_frame: Callable[[FrameType], None], on_lost: Callable[[], None]
    ) -> bool:
        """Start, and return whether that was possible: it is not if there is another trace function.

        Args:
            code_names: The names of the code objects that count.
            on_frame: Called with each frame of such code that starts.
            on_lost: Called when another trace function has been set.
        """
        if sys.gettrace() is not None:
            return False
        self._code_names, self._on_frame, self._on_lost = code_names, on_frame, on_lost
        self._thread = get_ident()
        self._is_started = True
        atexit.register(self._check)
        sys.settrace(self._trace)
        return True

    def follow(self, frame: FrameType, on_line: Callable[[int | None], bool]) -> None:
        """Call a function with the offset of each line of a frame before it runs, and with None when the frame ends.

        Args:
            frame: The frame, which runs in this thread.
            on_line: The function. It returns whether to call it when the line runs again.
        """
        self._frame, self._on_line = frame, on_line
        self._done: set[int] = set()
        frame.f_trace = self._local_trace

    def pause(self) -> bool:
        """Pause until `resume`, and return whether it was active."""
        if not self._is_started or self._is_paused or get_ident() != self._thread:
            return False
        if sys.gettrace() is not self._trace:
            self._check()
            return False
        self._is_paused = True
        sys.settrace(None)
        return True

    def resume(self) -> None:
        """Continue, unless another trace function has been set."""
        self._is_paused = False
        if self._is_started and sys.gettrace() is None:
            sys.settrace(self._trace)

    def stop(self) -> None:
        """Stop."""
        self._is_started = False
        atexit.unregister(self._check)
        if sys.gettrace() is self._trace:
            sys.settrace(None)
        if self._frame is not None and self._frame.f_trace is self._local_trace:
            self._frame.f_trace = None
        self._frame = None
        self._on_line = None  # it keeps the main module alive

    def _check(self) -> None:
        if self._is_started and sys.gettrace() is not self._trace:
            self.stop()
            self._on_lost()

    def _on_call(self, frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_code.co_name in self._code_names:
            self._on_frame(frame)
        return frame.f_trace

    def _on_event(self, frame: FrameType, event: str, arg: Any) -> Any:
        on_line = self._on_line
        if on_line is not None and event == "line":
            offset = frame.f_lasti
            if offset not in self._done and not on_line(offset):
                self._done.add(offset)
        elif on_line is not None and event == "return":
            on_line(None)
        return frame.f_trace
