"""`workers.py KIND`: call functions of this script in workers of one kind, and print the events of their logs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from typing import Any

import otel_kcevents
from otel_kcevents import EventLog, RecordSet, allocation, asset, default_log

DAY = "2022-06-03T00:00:00Z,2022-06-04T00:00:00Z"

own = RecordSet("cloudCost", "CloudCostSet", log=EventLog())


@allocation.load
def load(window: str, *, count: int = 2) -> list[int]:
    """Calls itself, so that its pickle by value refers to itself."""
    return [*load(window, count=count - 1), count] if count > 2 else [1, 2]


def block(window: str) -> None:
    with asset.save(window=window) as op:
        op.size = 7


def closure(count: int) -> Callable[[str], Iterator[int]]:
    @own.aggregate
    def stream(window: str) -> Iterator[int]:
        yield from range(count)

    return stream


@allocation.aggregate
def aggregate_partition(frame: Any, window: str) -> Any:
    return frame.assign(process=os.getpid())


def aggregate_partitions(**options: Any) -> list[int]:
    """Aggregate a Dask data frame with partitions of 3 and 2 rows; return the processes that have run a partition."""
    dataframe: Any = import_module("dask.dataframe")
    pandas: Any = import_module("pandas")
    frame = pandas.DataFrame({"cost": [1, 2, 3, 4, 5]})
    partitions = dataframe.from_pandas(frame, npartitions=2)
    meta = frame.assign(process=0).iloc[:0]
    result = partitions.map_partitions(aggregate_partition, DAY, meta=meta).compute(**options)
    return [int(process) for process in result["process"].unique()]


def call(function: Callable[..., Any], **options: Any) -> tuple[int, list[tuple[str, int | None, str]]]:
    """Call a function for a day; return the process, and the kind, size and window of each event in its default log."""
    from otel_kcevents import default_log

    events: list[tuple[str, int | None, str]] = []
    detach = default_log.attach(lambda event, *ids: events.append((event.kind, event.size, str(event.window))))
    result = function(DAY, **options)
    list(result or ())
    detach()
    return os.getpid(), events


def by_value(data: bytes) -> Any:
    """Call a function that was pickled by value."""
    cloudpickle: Any = import_module("cloudpickle")

    function, options = cloudpickle.loads(data)
    return call(function, **options)


def submit_pickled(method: str, tasks: list[Any]) -> list[Any]:
    cloudpickle: Any = import_module("cloudpickle")

    with ProcessPoolExecutor(1, mp_context=get_context(method)) as pool:
        return list(pool.map(by_value, map(cloudpickle.dumps, tasks)))


def submit_joblib(tasks: list[Any]) -> list[Any]:
    joblib: Any = import_module("joblib")

    return list(joblib.Parallel(n_jobs=2)(joblib.delayed(call)(task, **options) for task, options in tasks))


def submit_dask(scheduler: str, tasks: list[Any]) -> list[Any]:
    dask: Any = import_module("dask")

    delayed = [dask.delayed(call)(task, **options) for task, options in tasks]
    results = list(dask.compute(*delayed, scheduler=scheduler, num_workers=1))
    if scheduler == "threads":
        results += [(process, []) for process in aggregate_partitions(scheduler=scheduler)]
    return results


def submit_distributed(tasks: list[Any]) -> list[Any]:
    distributed: Any = import_module("distributed")
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "host": "127.0.0.1"}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        results = [client.submit(call, task, **options).result() for task, options in tasks]
        return [*results, *((process, []) for process in aggregate_partitions())]


SUBMIT: dict[str, Callable[[list[Any]], list[Any]]] = {
    "fork": lambda tasks: submit_pickled("fork", tasks),
    "spawn": lambda tasks: submit_pickled("spawn", tasks),
    "forkserver": lambda tasks: submit_pickled("forkserver", tasks),
    "joblib": submit_joblib,
    "dask threads": lambda tasks: submit_dask("threads", tasks),
    "dask processes": lambda tasks: submit_dask("processes", tasks),
    "distributed": submit_distributed,
}


if __name__ == "__main__":
    otel_kcevents.configure(service_name="workers")
    tasks: list[Any] = [(load, {"count": 3}), (block, {}), (closure(5), {})]
    results = SUBMIT[sys.argv[1]](tasks)
    elsewhere = all(process != os.getpid() for process, _ in results)
    logs = [default_log.counts(), own.log.counts()]
    print(json.dumps([elsewhere, [events for _, events in results if events], logs]))
