"""A Celery application whose worker sends itself tasks; its broker and a file for each done task are in TEST_FOLDER."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from uuid import uuid4

from celery import Celery
from celery.signals import worker_ready
from unedited_steps import DAY, load  # type: ignore[import-not-found]  # the folder is no package

FOLDER = Path(os.environ["TEST_FOLDER"])

for name in ("queue", "control", "done"):
    (FOLDER / name).mkdir(exist_ok=True)
app = Celery("unedited_celery", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": str(FOLDER / "queue"),
    "data_folder_out": str(FOLDER / "queue"),
    "control_folder": str(FOLDER / "control"),
    "polling_interval": 0.05,
}


@app.task
def work() -> None:
    load(DAY, 1)
    (FOLDER / "done" / str(uuid4())).touch()


@worker_ready.connect
def send_tasks(**signal: Any) -> None:
    for _ in range(4):
        work.delay()
