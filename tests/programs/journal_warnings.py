"""Log warnings in a configured program and in a child that it forks."""

from __future__ import annotations

import os
import warnings

from otel_kcevents import asset, configure
from otel_kcevents.model.problems import logger

warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
configure()
logger.warning("of the parent")
child = os.fork()
if not child:
    logger.warning("of the child")
    asset.emit("saved")
    os._exit(0)
os.waitpid(child, 0)
asset.emit("saved")
logger.warning("of the parent at its end")
