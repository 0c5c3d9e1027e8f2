"""`otel_kcevents.record.set_types`: the types of other libraries. No size runs the work of a lazy set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any

import pytest
from telemetry import Telemetry, Warned

ROWS = [{"cost": 1}, {"cost": 2}]


class Work(ExitStack):
    """Counts the computations of lazy sets, and closes what a test opens."""

    runs = 0

    def run(self, *results: Any) -> Any:
        self.runs += 1
        return results[-1] if results else None


def dask_sets(work: Work) -> dict[str, Any]:
    bag: Any = pytest.importorskip("dask.bag")
    dataframe: Any = pytest.importorskip("dask.dataframe")
    from dask import delayed  # type: ignore[attr-defined]
    from pandas import DataFrame

    def read(part: int) -> Any:
        return work.run(DataFrame(ROWS))

    frame = dataframe.from_map(read, range(3), meta=DataFrame(ROWS))
    sets = {"frame": frame, "series": frame.cost, "index": frame.index, "scalar": frame.cost.sum()}
    return {**sets, "bag": bag.from_delayed([delayed(read)(0)]), "delayed": delayed(read, nout=2)(0)}


def polars_sets(work: Work) -> dict[str, Any]:
    polars: Any = pytest.importorskip("polars")
    lazy = polars.DataFrame(ROWS).lazy().map_batches(work.run)
    return {"frame": lazy, "groups": lazy.group_by("cost")}


def django_sets(work: Work) -> dict[str, Any]:
    django: Any = pytest.importorskip("django")
    from django.conf import settings

    if not settings.configured:
        settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}})
        django.setup()
    from django.core.paginator import Page, Paginator
    from django.db import connection, models
    from django.utils.functional import SimpleLazyObject

    class Bill(models.Model):  # type: ignore[misc]
        cost = models.IntegerField()

        class Meta:
            app_label = "bills"

    work.callback(connection.close)
    work.enter_context(connection.execute_wrapper(work.run))
    bills = Bill.objects.order_by("cost")
    sets = {"queryset": bills, "values": bills.values(), "raw": Bill.objects.raw("SELECT 1")}
    return {**sets, "page": Page(bills, 1, Paginator(ROWS, 5)), "object": SimpleLazyObject(lambda: work.run(ROWS))}


def sqlalchemy_sets(work: Work) -> dict[str, Any]:
    sqlalchemy: Any = pytest.importorskip("sqlalchemy")
    orm: Any = pytest.importorskip("sqlalchemy.orm")
    engine = sqlalchemy.create_engine("sqlite://")
    work.callback(engine.dispose)
    session = work.enter_context(orm.Session(engine))

    class Base(orm.DeclarativeBase):  # type: ignore[misc]
        pass

    class BillSet(Base):
        __tablename__ = "bills"
        id = orm.mapped_column(sqlalchemy.Integer, primary_key=True)

        def __len__(self) -> int:
            return int(work.run(2))

    statement = sqlalchemy.select(BillSet)
    Base.metadata.create_all(engine)
    sets = {"query": session.query(BillSet), "select": statement, "result": session.execute(statement)}
    sets.update(scalars=session.scalars(statement), entity=BillSet())
    sqlalchemy.event.listen(engine, "before_cursor_execute", work.run)
    return sets


def peewee_sets(work: Work) -> dict[str, Any]:
    peewee: Any = pytest.importorskip("peewee")

    class Database(peewee.SqliteDatabase):  # type: ignore[misc]
        def execute_sql(self, *args: Any, **kwargs: Any) -> Any:
            return work.run(super().execute_sql(*args, **kwargs))

    class Bill(peewee.Model):  # type: ignore[misc]
        cost = peewee.IntegerField()

    database = Database(":memory:")
    work.callback(database.close)
    Bill.bind(database)
    database.create_tables([Bill])
    cursor = Bill.select().execute()
    work.runs = 0
    return {"query": Bill.select(), "raw": Bill.raw("SELECT 1"), "cursor": cursor}


def duckdb_sets(work: Work) -> dict[str, Any]:
    duckdb: Any = pytest.importorskip("duckdb")
    connection = work.enter_context(duckdb.connect())
    connection.create_function("seen", work.run, ["BIGINT"], "BIGINT", side_effects=True)
    return {"relation": connection.sql("SELECT i FROM range(5) t(i) WHERE seen(i) >= 0")}


def ibis_sets(work: Work) -> dict[str, Any]:
    ibis: Any = pytest.importorskip("ibis")
    backend = ibis.duckdb.connect()
    work.callback(backend.disconnect)
    table = backend.create_table("bills", schema=ibis.schema({"cost": "int64"}))
    backend.execute = work.run
    return {"table": table, "column": table.cost, "count": table.count()}


def pyarrow_sets(work: Work) -> dict[str, Any]:
    pyarrow: Any = pytest.importorskip("pyarrow")
    dataset: Any = pytest.importorskip("pyarrow.dataset")
    table = pyarrow.Table.from_pylist(ROWS)
    reader = pyarrow.RecordBatchReader.from_batches(table.schema, map(work.run, table.to_batches()))
    return {"reader": reader, "dataset": dataset.dataset(table), "scanner": dataset.dataset(table).scanner()}


def pandas_sets(work: Work) -> dict[str, Any]:
    pandas: Any = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"cost": [1, 2]}, index=pandas.date_range("2024-09-18", periods=2))
    return {"groups": frame.groupby("cost"), "bins": frame.resample("D"), "rolling": frame.rolling(2)}


STAND_INS = [
    ("pyspark.sql.dataframe", "DataFrame"),
    ("pyspark.sql.classic.dataframe", "DataFrame"),
    ("pyspark.sql.connect.dataframe", "DataFrame"),
    ("pyspark.pandas.frame", "DataFrame"),
    ("pyspark.rdd", "RDD"),
    ("snowflake.snowpark.dataframe", "DataFrame"),
    ("xarray.core.dataset", "Dataset"),
    ("bills.queries", "LazyBills"),
    ("bills.queries", "BillQuerySet"),
]


def stand_ins(work: Work) -> dict[str, Any]:
    """Types with the names of libraries that are not installed, and a subclass of each."""
    sets: dict[str, Any] = {}
    for module, name in STAND_INS:
        namespace = {"__module__": module, "__len__": lambda self: work.run(5), "__getattr__": work.run}
        base = type(name, (), namespace)
        derived = type(name, (base,), {"__module__": "bills", "__len__": lambda self: work.run(5)})
        sets.update({f"{module}.{name}": base(), f"{module}.{name} subclass": derived()})
    return sets


def futures(work: Work) -> dict[str, Any]:
    async def load() -> list[Any]:
        return list(work.run(ROWS))

    coroutine, loop = load(), asyncio.new_event_loop()
    coroutine.close()
    waiting = loop.create_future()
    loop.close()
    frame = type("LazyFrame", (), {"__module__": "narwhals.dataframe"})()
    return {"future": Future(), "coroutine": coroutine, "waiting": waiting, "frame": frame}


@pytest.mark.parametrize(
    "make",
    [
        dask_sets,
        polars_sets,
        django_sets,
        sqlalchemy_sets,
        peewee_sets,
        duckdb_sets,
        pytest.param(ibis_sets, marks=pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")),
        pyarrow_sets,
        pandas_sets,
        stand_ins,
    ],
)
def test_lazy_set_is_never_computed(
    telemetry: Telemetry, warned: Warned, make: Callable[[Work], dict[str, Any]]
) -> None:
    """As a result, as an argument of a save or in a path with `[*]`. No other argument is measured in its place."""
    with Work() as work:
        sets = make(work)
        for name, lazy in sets.items():
            before = len(warned())
            assert telemetry.asset.load(lambda lazy=lazy: lazy)() is lazy
            telemetry.asset.save(lambda lazy, names, window: None)(lazy, ["name", "cost"], "24h")
            telemetry.asset.load(window="bills[*].day", size="bills[*].rows")(lambda bills: [])(lazy)
            assert [event.size for event in telemetry.events[-3:]] == [None] * 3, name
            assert len(warned()) == before + 4
        assert work.runs == 0


def test_future_of_a_set_is_not_measured(telemetry: Telemetry, warned: Warned) -> None:
    """No other argument is measured either."""
    things = futures(Work())
    for thing in things.values():
        telemetry.asset.save(lambda thing, names: None)(thing, ["name", "cost"])
    assert [event.size for event in telemetry.events] == [None] * len(things)
    assert len(warned()) == len(things)


def test_named_size_of_a_lazy_set_is_recorded(telemetry: Telemetry, warned: Warned) -> None:
    work = Work()
    lazy = type("LazyFrame", (), {"__module__": "polars.lazyframe", "__len__": lambda self: work.run(5)})()
    telemetry.asset.load(size="result")(lambda: lazy)()
    telemetry.asset.load(size=lambda call: len(call.result))(lambda: lazy)()
    with telemetry.asset.save() as op:
        op.size = lazy
    telemetry.asset.emit("saved", size=lazy)
    assert ([event.size for event in telemetry.events], work.runs, warned()) == ([5] * 4, 4, [])


def free_sets() -> list[Any]:
    pandas, polars, numpy = (pytest.importorskip(name) for name in ("pandas", "polars", "numpy"))
    pyarrow, array = pytest.importorskip("pyarrow"), pytest.importorskip("dask.array")
    table, frame = pyarrow.Table.from_pylist(ROWS), pandas.DataFrame(ROWS)
    pydantic: Any = pytest.importorskip("pydantic")
    bills = type("Bills", (pydantic.BaseModel,), {"__module__": __name__, "__len__": lambda self: 2})()
    sets = [frame, frame.cost, frame.index, polars.DataFrame(ROWS), polars.Series([1, 2]), numpy.zeros((2, 3))]
    return [*sets, bills, table, table["cost"], table.to_batches()[0], table["cost"].chunk(0), array.zeros((2, 3))]


def test_size_without_a_computation_is_recorded(telemetry: Telemetry, warned: Warned) -> None:
    for rows in free_sets():
        assert telemetry.asset.load(lambda rows=rows: rows)() is rows
        telemetry.asset.save(lambda names, rows: None)(["name", "cost", "day"], rows)
        telemetry.asset.load(lambda rows=rows: (rows, {"took": 5}))()
        assert [event.size for event in telemetry.events[-3:]] == [2, 2, 2]
    assert warned() == []


def test_array_of_times_counts_unless_it_is_a_pair(telemetry: Telemetry, warned: Warned) -> None:
    numpy = pytest.importorskip("numpy")
    three, two = (numpy.arange(count).astype("datetime64[D]") for count in (3, 2))
    for result in (three, two, [three]):
        telemetry.asset.load(lambda result=result: result)()
    assert [event.size for event in telemetry.events] == [3, None, None]
    assert ["is a period" in warned()[0], "holds sets" in warned()[1]] == [True, True]


def other_arguments() -> list[Any]:
    """Requests, sessions, connections and configurations of other libraries."""
    flask, werkzeug = pytest.importorskip("flask"), pytest.importorskip("werkzeug.datastructures")
    requests, structures = (
        pytest.importorskip("starlette.requests"),
        pytest.importorskip("starlette.datastructures"),
    )
    http, sqlalchemy = pytest.importorskip("django.http"), pytest.importorskip("sqlalchemy")
    orm, duckdb = pytest.importorskip("sqlalchemy.orm"), pytest.importorskip("duckdb")
    pandas, pyarrow, numpy = (pytest.importorskip(name) for name in ("pandas", "pyarrow", "numpy"))
    app, scope = flask.Flask("bills"), {"type": "http", "headers": [], "method": "GET"}
    engine, metadata = sqlalchemy.create_engine("sqlite://"), sqlalchemy.MetaData()
    return [
        *(flask.request, flask.g, flask.current_app, app.config, app.test_request_context().request),
        *(werkzeug.MultiDict({"a": 1}), requests.Request(scope), structures.Headers(), structures.State()),
        *(
            http.HttpRequest(),
            http.QueryDict("a=1"),
            engine,
            orm.Session(engine),
            sqlalchemy.Table("t", metadata),
        ),
        *(duckdb.connect(), pandas.date_range("2024-09-18", periods=5), pandas.Period("2024-09"), numpy.dtype("i4")),
        *(pandas.Interval(0, 1), pandas.ExcelFile, pyarrow.schema([("cost", "int64")])),
        [pandas.Timestamp("2024-09-18"), pandas.Timestamp("2024-09-19")],
        (numpy.datetime64("2024-09-18"), numpy.datetime64("2024-09-19")),
        numpy.array(["2024-09-18", "2024-09-19"], "datetime64[s]"),
        pandas.Series(pandas.date_range("2024-09-18", periods=5, tz="UTC")),
        [pandas.Period("2024-09"), pandas.Period("2024-10"), pandas.Period("2024-11")],
        type("SparkSession", (), {"__module__": "pyspark.sql.session"})(),
        type("LambdaContext", (), {"__module__": "awslambdaric.lambda_context"})(),
        type("APIGatewayProxyEvent", (dict,), {"__module__": "aws_lambda_powertools.utilities.data_classes"})(),
    ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_argument_of_another_library_is_skipped(telemetry: Telemetry, warned: Warned) -> None:
    for thing in other_arguments():
        telemetry.asset.save(lambda thing, rows: None)(thing, ROWS)
        assert (telemetry.events[-1].size, warned()) == (2, [])


def test_proxy_is_measured_like_its_target(telemetry: Telemetry, warned: Warned) -> None:
    wrapt = pytest.importorskip("wrapt")
    for thing, size in [(wrapt.ObjectProxy(ROWS), 2), (wrapt.ObjectProxy("bills.csv"), 3)]:
        telemetry.asset.save(lambda thing, rows: None)(thing, [{"cost": 1}] * 3)
        assert telemetry.events[-1].size == size
    assert (telemetry.asset.load(lambda: wrapt.ObjectProxy(ROWS))(), warned()) == (ROWS, [])
    assert telemetry.events[-1].size == 2
