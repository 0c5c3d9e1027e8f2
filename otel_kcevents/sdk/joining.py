"""`join_parent`: set up a child process of multiprocessing like its parent, with its scrub function and its journal.

The parent publishes them in its environment, with its process id, because other programs inherit the environment too.
"""

from __future__ import annotations

import os
import sys

from otel_kcevents.sdk import published
from otel_kcevents.sdk.configure import configure
from otel_kcevents.sdk.journaling import choose_log_file, keep_in_file
from otel_kcevents.sdk.scrub_choice import inherit_scrub
from otel_kcevents.store.log import default_log
from otel_kcevents.store.run import is_helper

__all__ = ["join_parent"]


def join_parent() -> None:
    """Set up this process like its parent, if multiprocessing started it.

    Called when the package is imported in a process whose environment was published by a parent or another ancestor.
    """
    from multiprocessing import parent_process
    from multiprocessing.util import register_after_fork

    if (parent := parent_process()) is not None:
        _take_over(parent.pid)
    elif "--multiprocessing-fork" in sys.orig_argv:  # spawned, and still importing the main module
        _take_over(os.getppid())
    else:  # a fork server, or another program
        register_after_fork(join_parent, lambda _: join_parent())


def _take_over(parent: int | None) -> None:
    if (scrub := published.published_scrub()) is not None and scrub[0] == parent:
        inherit_scrub(scrub[1])
    if (configuration := published.published_configuration()) is not None and configuration[0] == parent:
        configure(service_name=configuration[1])
    elif published.published_log_file() == parent:  # the program sets up OpenTelemetry itself
        journal = keep_in_file(default_log, choose_log_file(None))
        if journal is not None and not is_helper():
            journal.begin()
