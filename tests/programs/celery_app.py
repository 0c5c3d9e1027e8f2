"""A Celery application whose worker sends itself tasks; its broker and a file for each done task are in TEST_FOLDER."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from uuid import uuid4

from celery import Celery
from celery.signals import worker_ready

import otel_kcevents
from otel_kcevents import allocation

otel_kcevents.configure(service_name="celery")

FOLDER = Path(os.environ["TEST_FOLDER"])
TASKS = 4

for name in ("queue", "control", "done"):
    (FOLDER / name).mkdir(exist_ok=True)
app = Celery("celery_app", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": str(FOLDER / "queue"),
    "data_folder_out": str(FOLDER / "queue"),
    "control_folder": str(FOLDER / "control"),
    "polling_interval": 0.05,
}


@app.task
@allocation.load
def load(window: str) -> list[int]:
    (FOLDER / "done" / str(uuid4())).touch()
    return [1]


@worker_ready.connect
def send_tasks(**signal: Any) -> None:
    for _ in range(TASKS):
        load.delay("2024-09-18T00:00:00Z,2024-09-19T00:00:00Z")
