"""The self-checks of a report: can the collector be reached, can the journal be written, is it consistent?"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from time import time_ns
from urllib.parse import urlsplit

from otel_kcevents.model.messages import error_message
from otel_kcevents.model.timestamps import SECOND, format_time
from otel_kcevents.store.calls import Calls
from otel_kcevents.store.journal_state import JournalState, KindState, check_writable, read_state

__all__ = ["check_endpoints", "check_journal", "state_findings"]

_CONNECT_TIMEOUT = 1.0  # seconds
_NO_LOOKUP = re.compile(r"[\d.]+|.*:.*|localhost")
_PORTS = {"http": 80, "https": 443}
_OTLP_PORT = 4317
_TOLERANCE = 2 * SECOND  # of another process, which reads the clock a moment later
_LOW_SPACE = 100 * 2**20  # bytes
_LARGE_WAL = 64 * 2**20  # bytes

_Finding = tuple[str, str]
"""What was checked, a fixed label, and the result, which begins with `ok`, `problem` or `not checked`."""


def check_endpoints(endpoints: Iterable[tuple[str, str]], timeout: float = 2.0) -> list[_Finding]:
    """Check whether something listens at each endpoint. Nothing is sent.

    Args:
        endpoints: Pairs of a signal and an endpoint as `scheme://host:port`.
        timeout: The maximum time for each endpoint, in seconds, including the lookup of its name.

    Returns:
        A label and a result for each endpoint.
    """
    signals: dict[str, list[str]] = {}
    for signal, url in endpoints:
        signals.setdefault(url, []).append(signal)
    if not signals:
        return [("collector", "not checked: no endpoint is set, or it is unknown to this process")]
    return [(f"collector ({', '.join(names)})", _connect(url, timeout)) for url, names in signals.items()]


def _connect(url: str, timeout: float) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme, _OTLP_PORT)
    except ValueError:
        host = None
    if not host:
        return f"not checked: {url} names no host and port"
    results: SimpleQueue[str] = SimpleQueue()

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT).close()
            results.put(f"ok: {url} accepts connections")
        except OSError as error:
            results.put(f"problem: {url} does not accept a connection: {error_message(error)}")

    try:
        Thread(target=connect, name="kcevents-report", daemon=True).start()
        return results.get(timeout=timeout)
    except RuntimeError:  # the interpreter is exiting
        if not _NO_LOOKUP.fullmatch(host):
            return f"not checked: {url}; the name cannot be looked up while the program ends"
        connect()
        return results.get()
    except Empty:
        return f"problem: {url} did not answer within {timeout:g} s"


def check_journal(path: str) -> tuple[list[_Finding], JournalState | None]:
    """Check a journal without changing it.

    Args:
        path: The absolute path of the file.

    Returns:
        The findings, and the state that they were derived from; None if the file cannot be read.
    """
    findings = []
    try:
        check_writable(path)
        findings.append(("journal can be written", "ok"))
    except OSError as error:
        findings.append(("journal can be written", f"problem: {error_message(error)}"))
    try:
        state = read_state(path)
    except OSError as error:
        return [*findings, ("journal can be read", f"problem: {error_message(error)}")], None
    return findings + state_findings(state), state


def state_findings(state: JournalState) -> list[_Finding]:
    """Return what is in order, and what is not, in the state of a journal.

    Args:
        state: The state.
    """
    size = f"{_megabytes(state.size)}, write-ahead log {_megabytes(state.wal_size)}, {_megabytes(state.free)} free"
    is_small = state.free >= _LOW_SPACE and state.wal_size <= _LARGE_WAL
    findings = [("journal size", f"{'ok' if is_small else 'problem'}: {size}"), ("clock", _clock(state))]
    if state.kinds is None:
        findings.append(("counters and rows", "not checked: counting the rows took too long"))
    else:
        findings += [("counters and rows", _rows(kind)) for kind in state.kinds]
    if state.calls:
        findings.append(("mapped functions", _calls(state.calls)))
    return findings


def _megabytes(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"


def _clock(state: JournalState) -> str:
    ahead = state.newest - time_ns()
    if ahead > _TOLERANCE:
        return f"problem: an event was written at {format_time(state.newest)}, which is in the future"
    if state.set_back:
        return f"problem: it was set back {state.set_back} times while events were written"
    return "ok: it was never set back while events were written"


def _rows(kind: KindState) -> str:
    """Return whether the rows of a kind are its newest events, without a gap."""
    name, counted, rows, first, last = kind
    if not rows:
        return f"ok: {name}: {counted} counted, none kept"
    if last != counted:
        return f"problem: {name}: {counted} counted, but the newest row has the number {last}: later events have no row"
    if first is None or rows != last - first + 1:
        return f"problem: {name}: {counted} counted, {rows} rows from {first} to {last}: some are missing"
    kept = "all kept" if rows == counted else f"retention is reached: the newest {rows} are kept"
    return f"ok: {name}: {counted} counted, {kept}"


def _calls(calls: Sequence[Calls]) -> str:
    uncalled = sum(not one.calls for one in calls)
    totals = zip(Calls._fields[2:], map(sum, list(zip(*calls, strict=True))[2:]), strict=True)
    counted = ", ".join(f"{name.replace('_', ' ')} {total}" for name, total in totals)
    return f"{len(calls)}, {uncalled} of them never called: {counted}"
