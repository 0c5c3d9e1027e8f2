"""Decorated partials, bound methods, builtins and callable objects keep what the undecorated ones have."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import operator
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from telemetry import DAY, Telemetry, Warned

from otel_kcevents.model.window import Window
from otel_kcevents.record.record_set import RecordSet
from otel_kcevents.store.log import EventLog

own_set = RecordSet("asset", "AssetSet", log=EventLog())


class Loader:
    """A callable object with state."""

    def __init__(self, rows: list[int]) -> None:
        self.rows = rows
        self.loaded = 0

    def __call__(self, window: Any) -> list[int]:
        """Load a day."""
        self.loaded += 1
        return self.rows

    def __len__(self) -> int:
        return len(self.rows)

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *error: object) -> None:
        self.rows = []

    def load(self, window: Any, count: int = 2) -> list[int]:
        return self.rows * count

    async def aload(self, window: Any) -> list[int]:
        return self.rows


def load(region: str, window: Any) -> list[int]:
    return [1]


@own_set.load
@functools.lru_cache
def cached(window: Any) -> list[int]:
    """Load a day, once."""
    return [1]


def test_decorated_object_has_the_attributes_of_the_original(telemetry: Telemetry) -> None:
    loader = Loader([1, 2])
    decorated: Any = telemetry.asset.load(loader)
    assert decorated(DAY) == [1, 2]
    decorated.region = "eu"
    assert (decorated.loaded, loader.loaded, vars(loader)["region"]) == (1, 1, "eu")
    del decorated.region
    assert not hasattr(loader, "region")
    assert (decorated.__doc__, decorated.__module__) == (loader.__doc__, __name__)
    assert set(dir(decorated)) == set(dir(loader))
    copied = copy.copy(decorated)
    copied.region = "us"
    assert not hasattr(loader, "region")
    assert repr(decorated) == f"<recorded {loader!r}>"
    assert inspect.unwrap(decorated) is loader
    assert isinstance(decorated, Loader)
    assert inspect.signature(decorated.__call__) == inspect.signature(loader)


def test_special_methods_of_a_decorated_object_work(telemetry: Telemetry) -> None:
    decorated: Any = telemetry.asset.load(Loader([1, 2]))
    assert (len(decorated), bool(decorated)) == (2, True)
    with decorated as entered:
        assert entered(DAY) == [1, 2]
    assert (len(decorated), bool(decorated)) == (0, False)
    assert telemetry.event.size == 2
    with pytest.raises(TypeError):
        iter(decorated)


def test_decorated_builtin_has_its_name_and_does_not_bind(telemetry: Telemetry) -> None:
    decorated: Any = type("Etl", (), {"count": telemetry.asset.load(operator.countOf)})().count
    assert (decorated.__name__, decorated.__module__) == ("countOf", "_operator")
    assert decorated([1, 1], 1) == 2
    assert len(telemetry.events) == 1


def test_builtin_without_a_signature_has_none(telemetry: Telemetry) -> None:
    with pytest.raises(ValueError, match="signature"):
        inspect.signature(telemetry.asset.total(vars))


def test_decorated_cache_keeps_its_methods_and_binds(telemetry: Telemetry) -> None:
    class Etl:
        @telemetry.asset.load
        @functools.lru_cache  # noqa: B019
        def load(self, window: Window) -> list[int]:
            """Load a day."""
            return [1]

    etl, method = Etl(), vars(Etl)["load"]
    assert inspect.ismethod(etl.load)
    assert etl.load(DAY) is etl.load(DAY)
    assert (method.cache_info().hits, etl.load.__doc__, Etl.load) == (1, "Load a day.", method)
    assert [event.window for event in telemetry.events] == [DAY, DAY]


def test_decorated_bound_method_has_its_object(telemetry: Telemetry) -> None:
    loader = Loader([1])
    decorated: Any = telemetry.asset.load(loader.load)
    assert (decorated.__self__, decorated.__func__, decorated.__name__) == (loader, Loader.load, "load")
    assert inspect.signature(decorated) == inspect.signature(loader.load)
    assert not inspect.ismethod(decorated)  # a caller would call `__func__`, which does not record
    held = type("Holder", (), {"load": decorated})()
    assert held.load(DAY) == [1, 1]
    assert telemetry.event.window == DAY


def test_decorated_partial_is_a_partial(telemetry: Telemetry) -> None:
    undecorated: Any = functools.partial(load, "eu")
    vars(undecorated)["note"] = "kept"
    decorated: Any = telemetry.asset.load(undecorated)
    assert isinstance(decorated, functools.partial)
    assert (decorated.args, decorated.keywords, vars(decorated)["note"]) == (("eu",), {}, "kept")
    assert inspect.signature(decorated) == inspect.signature(undecorated)
    assert not hasattr(decorated, "__name__")
    assert functools.partial(decorated, DAY)() == [1]
    assert telemetry.event.window == DAY


class Descriptor:
    """A callable with a `__get__` that does not return a bound method."""

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, instance: Any, window: Any) -> list[int]:
        return [1]


def test_object_with_custom_binding_records(telemetry: Telemetry) -> None:
    etl = type("Etl", (), {"load": telemetry.asset.load(Descriptor())})()
    assert isinstance(etl.load, functools.partial)
    assert etl.load(DAY) == etl.load(window=DAY) == [1]
    assert [event.window for event in telemetry.events] == [DAY, DAY]


@pytest.mark.parametrize(
    "callable_",
    [Loader([1, 2]), Loader([1, 2]).load, functools.partial(load, "eu"), operator.itemgetter(0)],
    ids=["object", "bound method", "partial", "written in C"],
)
@pytest.mark.parametrize("copied", [lambda value: pickle.loads(pickle.dumps(value)), copy.copy, copy.deepcopy])
def test_pickled_or_copied_object_records(callable_: Any, copied: Any) -> None:
    before = own_set.log.counts().get("AssetSetLoaded", 0)
    again = copied(own_set.load(callable_))
    assert again([1, 2]) == callable_([1, 2])
    assert own_set.log.counts()["AssetSetLoaded"] == before + 1


def test_object_pickles_by_its_global_name() -> None:
    assert pickle.loads(pickle.dumps(cached)) is cached


@pytest.mark.parametrize(
    ("make", "kind"),
    [(lambda: Loader([1]), "object"), (lambda: functools.partial(load, "eu"), "partial")],
    ids=["object", "partial"],
)
def test_two_operations_on_one_object_both_record(telemetry: Telemetry, make: Any, kind: str) -> None:
    decorated = telemetry.allocation.load(telemetry.asset.aggregate(make()))
    decorated(DAY)
    assert sorted(telemetry.kinds) == ["AllocationSetLoaded", "AssetSetAggregated"]
    assert telemetry.asset.aggregate(decorated) is decorated


# Proxies of other packages, which claim to be functions


async def aload(region: str, window: Any) -> list[int]:
    return [1]


def rows(region: str, window: Any) -> Iterator[int]:
    yield 1


def in_region(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """Add an argument to the call, and return a list in place of a coroutine or a generator."""
    called = wrapped("eu", *args, **kwargs)
    return asyncio.run(called) if inspect.iscoroutine(called) else list(called)


@pytest.mark.parametrize("function", [load, aload, rows], ids=lambda function: function.__name__)
def test_foreign_proxy_that_changes_the_call_records(telemetry: Telemetry, function: Any) -> None:
    wrapt = pytest.importorskip("wrapt")
    proxy = wrapt.FunctionWrapper(function, in_region)
    decorated: Any = telemetry.asset.load(window=lambda call: DAY)(proxy)
    assert decorated(DAY) == [1]
    assert len(telemetry.events) == 1
    assert inspect.iscoroutinefunction(decorated) is inspect.iscoroutinefunction(proxy)


@pytest.mark.parametrize("kind", [lambda function: function, classmethod, staticmethod])
def test_foreign_proxy_with_custom_binding_records(telemetry: Telemetry, kind: Any) -> None:
    wrapt = pytest.importorskip("wrapt")
    bound_to = []

    def note(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        bound_to.append(instance)
        return wrapped(*args, **kwargs)

    def make(decorate: Any) -> Any:
        function = (lambda window: [1]) if kind is staticmethod else lambda self, window: [1]
        return type("Etl", (), {"load": decorate(wrapt.FunctionWrapper(kind(function), note))})()

    undecorated, decorated = make(lambda function: function), make(telemetry.asset.load)
    assert undecorated.load(DAY) == decorated.load(DAY) == [1]
    first, second = (type(instance).__name__ for instance in bound_to)
    assert first == second
    assert telemetry.event.window == DAY


# Objects that run their function without being called


class Task:
    """An object like the task that a task queue creates from a function."""

    def __call__(self, window: Any) -> list[int]:
        return [1]

    def apply_async(self, *args: Any) -> str:
        return "queued"


@pytest.mark.parametrize("make", [Task, lambda: functools.partial(Task(), DAY)], ids=["task", "partial"])
def test_task_is_refused_with_the_right_order(telemetry: Telemetry, make: Any) -> None:
    with pytest.raises(TypeError, match=r"\.apply_async\(\).*@asset\.load below"):
        telemetry.asset.load(make())


def test_function_with_a_task_attribute_is_decorated(telemetry: Telemetry) -> None:
    """A queue that looks functions up by name finds the decorated function."""

    def load(window: Any) -> list[int]:
        return [1]

    load.delay = lambda window: load(window)  # type: ignore[attr-defined]
    decorated: Any = telemetry.asset.load(load)
    assert decorated(DAY) == decorated.delay(DAY) == [1]
    assert len(telemetry.events) == 1


@pytest.fixture(scope="module")
def celery_app() -> Any:
    """A Celery application that runs its tasks immediately."""
    celery = pytest.importorskip("celery")
    app = celery.Celery("etl", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.task_always_eager = True
    return app


def test_celery_task_of_a_decorated_function_records(telemetry: Telemetry, celery_app: Any) -> None:
    def load(window: Any) -> list[int]:
        return [1]

    task = celery_app.task(telemetry.asset.load(load), name="plain")
    for start in (task.delay, task, lambda window: task.apply_async((window,))):
        start("2022-06-03T00:00:00Z,2022-06-04T00:00:00Z")
    with pytest.raises(TypeError, match="missing"):
        task.delay()
    assert [event.window for event in telemetry.events] == [DAY] * 3


def test_celery_retry_can_be_ignored(telemetry: Telemetry, celery_app: Any) -> None:
    exceptions = pytest.importorskip("celery.exceptions")

    def load(self: Any, window: Any) -> list[int]:
        if self.request.retries < 2:
            raise self.retry()
        return [1]

    decorated = telemetry.asset.load(ignore=(exceptions.Retry, exceptions.Ignore))(load)
    task = celery_app.task(decorated, name="retried", bind=True, max_retries=2, default_retry_delay=0)
    assert task.delay("2022-06-03T00:00:00Z,2022-06-04T00:00:00Z").get() == [1]
    assert telemetry.kinds == ["AssetSetLoaded"]


def test_celery_result_is_a_handle(telemetry: Telemetry, warned: Warned) -> None:
    """The call is recorded when it returns: the task runs elsewhere, and asking for its result would wait for it."""
    celery = pytest.importorskip("celery")
    app = celery.Celery("etl", broker="memory://", backend="cache+memory://", set_as_current=False)
    results: list[Any] = []

    @telemetry.asset.load
    def start(window: Any) -> Any:
        results.append(app.send_task("load"))  # no worker runs it
        return results[0]

    assert start(DAY) is results[0]
    assert (telemetry.event.kind, telemetry.event.size, telemetry.event.window) == ("AssetSetLoaded", None, DAY)
    (message,) = warned()
    assert "AsyncResult (celery) is lazy" in message


def test_decorated_celery_task_is_refused(telemetry: Telemetry, celery_app: Any) -> None:
    """Calls through `.delay` would not be recorded."""
    with pytest.raises(TypeError, match=r"@asset\.load below"):
        telemetry.asset.load(celery_app.task(load, name="refused"))


def test_decorated_click_command_is_refused(telemetry: Telemetry) -> None:
    """Calling a command runs the command line, and a group invokes it through another method."""
    click = pytest.importorskip("click")
    with pytest.raises(TypeError, match=r"\.invoke\(\).*@asset\.load below"):
        telemetry.asset.load(click.command()(load))
