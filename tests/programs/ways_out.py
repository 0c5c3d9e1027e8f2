"""`ways_out.py NAME`: run one of the functions below, each of which ends a process in its own way."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures.thread  # noqa: F401 - registers hooks that must not be new in a fork
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from types import FrameType
from typing import Any

from otel_kcevents import allocation, configure, default_log, flush, run
from otel_kcevents.model.event import Event


def save() -> None:
    allocation.emit("saved", size=1)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)


def configured_again() -> None:
    """The program resets the signal between the calls."""
    configure()
    save()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    configure()
    terminate()


def configured_in_thread() -> None:
    """A thread cannot set a handler, so the main thread calls `configure()` too."""
    thread = threading.Thread(target=configure)
    thread.start()
    thread.join()
    save()
    configure()
    terminate()


def own_handler_calls_the_former() -> None:
    configure()
    former = signal.getsignal(signal.SIGTERM)

    def handle(number: int, frame: FrameType | None) -> None:
        save()
        assert callable(former)
        former(number, frame)

    signal.signal(signal.SIGTERM, handle)
    terminate()


def own_handler_flushes() -> None:
    configure()
    save()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0 if flush(5) else 1))
    terminate()


def ignored_signal() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    configure()
    os.kill(os.getpid(), signal.SIGTERM)
    save()


def asyncio_handler() -> None:
    configure()

    async def main() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        save()

    asyncio.run(main())


def second_signal() -> None:
    """The second signal arrives while the flush of the first one waits for the collector."""
    configure()
    save()

    def work() -> None:
        sys.stdin.readline()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=work, daemon=True).start()
    terminate()


def signal_at_exit() -> None:
    """The signal arrives while the interpreter waits for a thread."""
    configure()
    save()

    def work() -> None:
        threading.main_thread().join()
        time.sleep(0.2)  # a signal that arrives just before the interpreter waits does not end the wait
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    threading.Thread(target=work).start()


def signal_inside_append() -> None:
    """The signal arrives while the main thread holds the lock of the log."""

    class Kind(str):
        def __hash__(self) -> int:
            os.kill(os.getpid(), signal.SIGTERM)
            return super().__hash__()

    configure()
    save()
    default_log.append(Event(Kind("AssetSetSaved"), 1))


def signal_inside_opentelemetry() -> None:
    """The signal arrives while the main thread may hold a lock of the SDK, so the interrupted code continues first."""
    configure()
    interrupted: dict[str, Any] = {"__name__": "opentelemetry.sdk.trace"}
    exec("import sys; frame = sys._getframe()", interrupted)
    handler = signal.getsignal(signal.SIGTERM)
    assert callable(handler)
    handler(signal.SIGTERM, interrupted["frame"])
    save()
    time.sleep(60)


def signal_inside_run() -> None:
    """The span of the run has not ended."""
    configure()
    with run("nightly"):
        save()
        terminate()


def signal_to_process_1() -> None:
    configure()
    save()
    print(os.getpid(), flush=True)
    terminate()


def signal_to_group() -> None:
    """Like systemd, which sends the signal to the program and to its children at once."""
    configure()
    save()
    context = multiprocessing.get_context("fork")
    ready = context.Barrier(3)

    def work() -> None:
        save()
        ready.wait()
        time.sleep(60)

    children = [context.Process(target=work) for _ in range(2)]
    for child in children:
        child.start()
    ready.wait()
    os.killpg(0, signal.SIGTERM)
    for child in children:
        child.join()


def task_runner() -> None:
    """A process that removes the inherited exit handlers in each child, and runs those that the child adds."""
    configure()
    child = os.fork()
    if not child:
        atexit._clear()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        configure()
        save()
        atexit._run_exitfuncs()
        os._exit(0)
    os.waitpid(child, 0)


def fork_that_configures() -> None:
    """The hooks of `configure()` are registered during the fork, and run only after it."""
    os.register_at_fork(before=configure)
    child = os.fork()
    if not child:
        save()
        os._exit(0 if flush(20) else 1)
    os.waitpid(child, 0)


def flush_in_new_child() -> None:
    """The child flushes before it has recorded anything."""
    configure()
    child = os.fork()
    if not child:
        os._exit(0 if flush(20) else 1)
    print(os.waitpid(child, 0)[1])


def flush_and_terminate() -> None:
    """Like a server that calls `flush()` and then ends by the signal."""
    configure()
    save()
    print("saved", flush=True)
    flush(5)
    terminate()


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    globals()[sys.argv[1]]()
