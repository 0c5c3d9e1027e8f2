"""What serving the log costs a program whose clients do their worst, against the same program without clients."""

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
from benchmarks.measure import ROOT, Row, child
from benchmarks.pipeline import WINDOW
from otel_kcevents import RecordSet, start_http_server

__all__ = ["TITLE", "rows"]

TITLE = "a program's time per event with 2 ms of work, its full log served (with clients / without)"

_WORK = 0.002  # seconds for each event
_MAX_COST = 1.11  # so that the program keeps 0.90 of its rate without clients
_CLIENTS = {
    "16 polling clients": ("poll", 16),
    "200 slow clients": ("drip", 200),
    "16 clients with a query of 64 KB": ("query", 16),
}
_SCHEDULED = Path("/proc/thread-self/schedstat")
_MAX_SECONDS = 60  # for which a client goes on without its program


def rows(quick: bool) -> Iterator[Row]:
    """A line for each kind of clients: the time per event, so the ratio is that of the rates turned over."""
    rounds, seconds = (1, 0.5) if quick else (9, 2.0)
    for name, (kind, number) in _CLIENTS.items():
        found = child("-m", "benchmarks.serving", "program", kind, str(number), str(rounds), str(seconds))
        yield Row(name, "ms", found, _MAX_COST)


def _program(kind: str, number: int, rounds: int, seconds: float) -> list[tuple[float, float]]:
    """Milliseconds per event with the clients and without, in turn."""
    log, work = full_log(), _calibrated()
    records = RecordSet("allocation", "AllocationSet", log=log)

    @records.load
    def load(window: object) -> list[int]:
        work()
        return [1]

    def per_event() -> float:
        events, start, waited = 0, perf_counter(), _waited()
        while perf_counter() - start < seconds:
            load(WINDOW)
            events += 1
        return (perf_counter() - start - (_waited() - waited)) / events * 1e3

    measured = []
    with start_http_server(0, log=log) as server:
        for _ in range(rounds):
            without = per_event()
            with _clients(kind, number, server.port):
                measured.append((per_event(), without))
    return measured


def _waited() -> float:
    """Seconds this thread waited for a core while other programs had them, the clients too; 0 if not known.

    That is not what is measured, and on a busy machine it is more than what is.
    """
    try:
        return int(_SCHEDULED.read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


def _calibrated() -> Callable[[], None]:
    """Pure Python code that takes `_WORK` seconds."""

    def work(steps: int) -> float:
        start = perf_counter()
        for _ in range(steps):
            pass
        return perf_counter() - start

    steps = 10_000
    steps = int(steps * _WORK / min(work(steps) for _ in range(200)))

    def calibrated() -> None:
        work(steps)

    return calibrated


@contextmanager
def _clients(kind: str, number: int, port: int) -> Iterator[None]:
    """Clients in processes of their own: one each, but one for all the slow ones."""
    processes = 1 if kind == "drip" else number
    command = [sys.executable, "-m", "benchmarks.serving", kind, str(number), str(port)]
    running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(processes)]
    try:
        for process in running:
            assert process.stdout
            process.stdout.readline()  # it has begun
        yield
    finally:
        for process in running:
            process.kill()
        for process in running:
            with process:
                pass


def _ask(port: int, target: str, end: float) -> None:
    """Ask again and again, without a pause, whatever the answer is."""
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
    """Send a byte of a request on each of many connections every 100 ms; connect again where one was closed."""
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
    print("begun", flush=True)
    end = monotonic() + _MAX_SECONDS
    path = "/model/etl/log"
    if role == "drip":
        _drip(port, number, end)
    else:
        _ask(port, path if role == "poll" else f"{path}?kind={'A,' * 32_000}A", end)


if __name__ == "__main__":
    _main(*sys.argv[1:])
