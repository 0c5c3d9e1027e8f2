"""`MonitoringEvents`: the events of module frames by `sys.monitoring`, from Python 3.12 on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

__all__ = ["MonitoringEvents"]

_monitoring: Any = getattr(sys, "monitoring", None)
_TOOLS = (4, 3)  # the others are reserved for debuggers, coverage, profilers and optimizers


class MonitoringEvents:  # pragma: no cover  # code that runs in a callback is invisible to coverage
    """Calls functions when the frames of modules start, and before each line of one of them.

    Other code runs at full speed. Trace functions and other tools that use `sys.monitoring` are not affected.
    """

    def __init__(self) -> None:
        self._tool: int | None = None
        self._code: CodeType | None = None

    def start(
        self, code_names: tuple[str, ...], on_frame: Callable[[FrameType], None], on_lost: Callable[[], None]
    ) -> bool:
        """Start, and return whether that was possible: it is not if other tools use all tool ids.

        Args:
            code_names: The names of the code objects that count.
            on_frame: Called with each frame of such code that starts.
            on_lost: Not called: other tools cannot take the events.
        """
        tool = next((tool for tool in _TOOLS if _monitoring.get_tool(tool) is None), None)
        if tool is None:
            return False

        def on_start(code: CodeType, offset: int) -> Any:
            if code.co_name in code_names:
                on_frame(sys._getframe(1))
            return _monitoring.DISABLE  # for this code

        _monitoring.use_tool_id(tool, "otel_kcevents")
        self._tool = tool
        _monitoring.register_callback(tool, _monitoring.events.PY_START, on_start)
        _monitoring.set_events(tool, _monitoring.events.PY_START)
        return True

    def follow(self, frame: FrameType, on_line: Callable[[int | None], bool]) -> None:
        """Call a function with the offset of each line of a frame before it runs, and with None when the frame ends.

        Args:
            frame: The frame.
            on_line: The function. It returns whether to call it when the line runs again.
        """

        def on_line_event(code: CodeType, line: int) -> Any:
            return None if on_line(sys._getframe(1).f_lasti) else _monitoring.DISABLE

        events, self._code = _monitoring.events, frame.f_code
        _monitoring.set_events(self._tool, events.NO_EVENTS)
        _monitoring.register_callback(self._tool, events.LINE, on_line_event)
        _monitoring.register_callback(self._tool, events.PY_RETURN, lambda code, offset, value: on_line(None))
        _monitoring.set_local_events(self._tool, self._code, events.LINE | events.PY_RETURN)

    def pause(self) -> bool:
        """Return False: it need not pause."""
        return False

    def resume(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Stop, and free the tool id."""
        tool, self._tool = self._tool, None
        if tool is None:
            return
        events = _monitoring.events
        _monitoring.set_events(tool, events.NO_EVENTS)
        if self._code is not None:
            _monitoring.set_local_events(tool, self._code, events.NO_EVENTS)
        for event in (events.PY_START, events.LINE, events.PY_RETURN):
            _monitoring.register_callback(tool, event, None)
        _monitoring.free_tool_id(tool)
