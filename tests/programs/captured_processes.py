"""Configures inside a capture and records in child processes. Prints what they see, and the journal's variable."""

import multiprocessing
import os

from otel_kcevents import asset, configure, default_log
from otel_kcevents.testing import capture


def save() -> None:
    """Record an event in a process that is configured."""
    configure()
    asset.emit("saved", size=1)


if __name__ == "__main__":
    with capture() as kcevents:
        configure()
        contexts = {"forked": multiprocessing.get_context("fork"), "spawned": multiprocessing.get_context("spawn")}
        for name, context in contexts.items():
            process = context.Process(target=save)  # type: ignore[attr-defined]
            process.start()
            process.join()
            assert process.exitcode == 0
            print(f"{name}: {kcevents.counts}")
    assert default_log.counts() == {}
    print("after:", os.environ["OTEL_PYTHON_KCEVENTS_LOG_FILE"])
