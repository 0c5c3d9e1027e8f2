"""The rate of a program whose log is served to abusive clients, relative to its rate without clients."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, perf_counter, sleep

from benchmarks.document import full_log
from benchmarks.measure import ROOT, Rounds, Row, run_child
from benchmarks.pipeline import WINDOW
from otel_kcevents import RecordSet, start_http_server

__all__ = ["rows"]

_WORK = 0.002  # seconds of work per event
_CLIENTS = {
    "16 clients poll without a pause": ("poll", 16),
    "200 clients send slowly": ("drip", 200),
    "16 clients send queries of 64 KB": ("query", 16),
}
_SCHEDULED = Path("/proc/thread-self/schedstat")
_MAX_SECONDS = 60  # after which a client ends even if nothing has stopped it


def rows(quick: bool) -> Iterator[Row]:
    """Measure the rate with each group of clients."""
    rounds, seconds = (1, 0.5) if quick else (9, 2.0)
    for what, (kind, number) in _CLIENTS.items():
        found = run_child("-m", "benchmarks.serving", "program", kind, str(number), str(rounds), str(seconds))
        yield Row(f"a program with 2 ms of work per event while {what}", "no clients", found, "/s", "at least 0.90")


def _program(kind: str, number: int, rounds: int, seconds: float) -> Rounds:
    """Measure the events per second with the clients and without them, in alternation."""
    log, work = full_log(), _calibrate()
    records = RecordSet("allocation", "AllocationSet", log=log)

    @records.load
    def load(window: object) -> list[int]:
        work()
        return [1]

    def rate() -> float:
        events, start, waited = 0, perf_counter(), _waited()
        while perf_counter() - start < seconds:
            load(WINDOW)
            events += 1
        return events / (perf_counter() - start - (_waited() - waited))

    measured = []
    with start_http_server(0, log=log) as server:
        for _ in range(rounds):
            without = rate()
            with _clients(kind, number, server.port):
                measured.append((rate(), without))
    return measured


def _waited() -> float:
    """Return the seconds that this thread has waited for a free core, or 0 if the system does not report them.

    Other programs, the clients among them, use the cores too; that is not part of what serving costs the program.
    """
    try:
        return int(_SCHEDULED.read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


def _calibrate() -> Callable[[], object]:
    """Return pure Python code that takes `_WORK` seconds."""

    def work(steps: int) -> float:
        start = perf_counter()
        for _ in range(steps):
            pass
        return perf_counter() - start

    steps = 10_000
    steps = int(steps * _WORK / min(work(steps) for _ in range(200)))
    return lambda: work(steps)


@contextmanager
def _clients(kind: str, number: int, port: int) -> Iterator[None]:
    """Run the clients: each in a process of its own, except that all slow clients share one."""
    processes = 1 if kind == "drip" else number
    command = [sys.executable, "-m", "benchmarks.serving", kind, str(number), str(port)]
    running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(processes)]
    try:
        for process in running:
            assert process.stdout
            process.stdout.readline()  # printed when the client is running
        yield
    finally:
        for process in running:
            process.kill()
        for process in running:
            with process:
                pass


def _ask(port: int, target: str, end: float) -> None:
    """Send requests without a pause, regardless of the responses."""
    request = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    while monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                client.sendall(request)
                while client.recv(1 << 16):
                    pass
        except OSError:
            pass


def _drip(port: int, number: int, end: float) -> None:
    """Send one byte on each of many connections every 100 ms, and replace connections that were closed."""
    clients: list[socket.socket] = []
    while monotonic() < end:
        clients = [client for client in clients if _is_open(client)]
        for _ in range(number - len(clients)):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
            clients.append(client)
        sleep(0.1)


def _is_open(client: socket.socket) -> bool:
    try:
        client.send(b"G")
        if client.recv(1 << 12):
            return True
    except BlockingIOError:
        return True
    except OSError:
        pass
    client.close()
    return False


def _main(role: str, *arguments: str) -> None:
    if role == "program":
        kind, clients, rounds, seconds = arguments
        print(json.dumps(_program(kind, int(clients), int(rounds), float(seconds))))
        return
    number, port = map(int, arguments)
    print("running", flush=True)
    end = monotonic() + _MAX_SECONDS
    path = "/model/etl/log"
    if role == "drip":
        _drip(port, number, end)
    else:
        _ask(port, path if role == "poll" else f"{path}?kind={'A,' * 32_000}A", end)


if __name__ == "__main__":
    _main(*sys.argv[1:])
