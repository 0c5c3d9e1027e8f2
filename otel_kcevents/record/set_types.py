"""`role_of`: whether the values of a type are sets of records, with a table of the types of other libraries.

Types are recognized by their modules and those of their base classes, so no library is imported and no value is read:
even `isinstance` and `hasattr` start the computation of some lazy objects.
"""

from __future__ import annotations

from collections import ChainMap, Counter, OrderedDict, UserDict, defaultdict, deque
from collections.abc import Iterable
from datetime import date, time, timedelta, tzinfo
from enum import Enum
from types import MappingProxyType
from typing import Any, Literal, TypeAlias
from weakref import WeakKeyDictionary

__all__ = ["Role", "has_option_keys", "is_library_set", "is_option_name", "role_of"]

Role: TypeAlias = Literal[
    "records", "array", "collection", "mapping", "range", "lazy", "object", "number", "string", "time", "never", "proxy"
]
"""What a value is.

`records`: a set whose `len()` is free. `array`: one of numpy or pandas, which may hold times. `collection`: a list, a
tuple or another collection of Python's own; its items decide. `mapping`: a plain dict; its values decide. `range`: a
range. `lazy`: a set whose `len()` would start a computation, counts something else, or does not exist. `object`: not a
set, but maybe a record. `number`, `string` and `time` (also a period): single values. `never`: none of these. `proxy`:
the role of its `__wrapped__`.
"""

_BUILTINS: dict[type, Role] = {
    **dict.fromkeys((list, tuple, set, frozenset, deque, type({}.keys()), type({}.values())), "collection"),
    **dict.fromkeys((dict, OrderedDict, defaultdict, Counter, ChainMap, UserDict, MappingProxyType), "mapping"),
    **dict.fromkeys((int, float), "number"),
    range: "range",
    str: "string",
    bool: "never",
    type(None): "never",
}
_BASES: tuple[tuple[type, Role], ...] = (
    *((base, "string") for base in (str, bytes)),
    *((base, "never") for base in (bytearray, memoryview, type, tzinfo, Enum)),
    *((base, "time") for base in (date, time, timedelta)),
)
_TIME_NAMES = """
    datetime64 timedelta64 Date Date32Scalar Date64Scalar DateTime Instant Interval OffsetDateTime Period PlainDateTime
    SystemDateTime Time Timestamp TimestampScalar Window YearMonth ZonedDateTime
"""
_time_names = frozenset(_TIME_NAMES.split())

_LAZY = """
    airflow.models.xcom airflow.models.xcom_arg airflow.sdk.definitions.xcom_arg
    airflow.sdk.execution_time.lazy_sequence apache_beam bigframes boto3.resources.collection botocore.paginate
    celery.result concurrent.futures._base daft dask dask_cudf dask_expr dask_geopandas datafusion
    datasets.iterable_dataset distributed.client.Future django.core.paginator.Page django.db.models.query
    django.utils.functional duckdb _duckdb ibis.expr modin mongoengine.queryset multiprocessing.managers.BaseProxy
    neomodel pandas.api.typing pandas.core.groupby pandas.core.resample pandas.core.window peewee.BaseQuery
    peewee.CursorWrapper polars.lazyframe pony.orm prefect.futures pyarrow._dataset pymongo.command_cursor
    pymongo.cursor pyspark ray._raylet ray.data ray.ObjectRef sedona sedonadb
    snowflake.snowpark sqlalchemy.engine.cursor
    sqlalchemy.engine.result sqlalchemy.ext.associationproxy sqlalchemy.ext.asyncio.result sqlalchemy.orm.dynamic
    sqlalchemy.orm.query sqlalchemy.orm.writeonly sqlalchemy.sql tensorflow torch.utils.data vaex
    wrapt.LazyObjectProxy wrapt.proxies.LazyObjectProxy xarray.core.dataset xarray.core.datatree xarray.core.groupby
    xarray.Dataset
"""
_FREE = "dask.array pyspark.resultiterable"  # within the modules above
_NEVER = """
    aiohttp airflow asyncpg aws_lambda_powertools azure.functions bottle botocore bz2 chalice cherrypy click
    configparser confluent_kafka contextvars _contextvars dagster dateutil dbm diskcache django.contrib
    django.core.handlers django.db.models.manager django.http django.utils.datastructures dynaconf email falcon
    fastapi flask fsspec google.protobuf.struct_pb2 gzip h5py._hl.files h5py._hl.group http httpx io _io ipaddress
    kafka litestar lmdb logging lzma mmap mock multidict numpy.dtype numpy.void omegaconf openpyxl optparse os pathlib
    pandas.core.indexes.datetimes pandas.core.indexes.interval pandas.core.indexes.period
    pandas.core.indexes.timedeltas pandas.DatetimeIndex pandas.HDFStore pandas.IntervalIndex pandas.io.pytables
    pandas.PeriodIndex pandas.TimedeltaIndex polars.schema psycopg2.extras pyarrow.lib.DataType pyarrow.lib.Field
    pyarrow.lib.KeyValueMetadata pyarrow.lib.Scalar pyarrow.lib.Schema pydantic_settings pymongo pyramid
    pyspark.sql.types quart redis requests rest_framework sanic shelve snowflake.snowpark.row sqlalchemy.engine.row
    sqlalchemy.sql.schema sqlite3 sqlitedict starlette tarfile tempfile tinydb tornado traitlets types unittest.mock
    urllib urllib3 uuid webob werkzeug wsgiref yarl zict zipfile
"""
_OBJECTS = "pydantic"  # models are iterable, but they are not sets
_ARRAYS = "numpy.ndarray pandas.Series pandas.core.series.Series"
_PROXIES = "wrapt _wrappers"

_BY_MODULE: dict[str, Role] = {
    **dict.fromkeys(_LAZY.split(), "lazy"),
    **dict.fromkeys(_FREE.split(), "records"),
    **dict.fromkeys(_NEVER.split(), "never"),
    **dict.fromkeys(_OBJECTS.split(), "object"),
    **dict.fromkeys(_PROXIES.split(), "proxy"),
    **dict.fromkeys(_ARRAYS.split(), "array"),
}
"""The role of the types in a module, or of one type. The longest entry that matches a type is used."""

_STORE_WORDS = """
    bucket cache catalog client connection credentials cursor database db engine pool repo repository session sink
    storage store writer
"""
_OPTION_WORDS = """
    conf config configuration context cookies ctx env environ environment event headers interval kwargs options opts
    parameters params payload period range request response schema settings window
"""
_ARGUMENT_WORDS = """
    attributes body column columns date dates day days dtypes field fields filter filters hour hours key keys label
    labels meta metadata month months option ranges tag tags week weeks year years
"""
_class_words = frozenset(f"{_STORE_WORDS} {_OPTION_WORDS}".split())
_argument_words = _class_words.union(_ARGUMENT_WORDS.split())
_keys = f"{_OPTION_WORDS} {_ARGUMENT_WORDS}"
_key_words = frozenset(f"{_keys} {_keys.title()}".split())  # AWS writes them with a capital
_LAZY_ENDINGS = ("Query", "QuerySet", "Future", "Promise")
_CONNECTION_METHODS = ("execute", "cursor", "write", "read")

_roles: WeakKeyDictionary[type, Role] = WeakKeyDictionary()


def is_option_name(name: str) -> bool:
    """Return whether the last word of an argument's name means options, columns, periods, requests or stores.

    Args:
        name: The name, such as `save_options`.
    """
    return _last_word(name) in _argument_words


def has_option_keys(keys: Iterable[object]) -> bool:
    """Return whether a key of a dict means options, columns, periods or requests, rather than a record's name.

    Args:
        keys: Some of its keys.
    """
    return not _key_words.isdisjoint(keys)


def _last_word(name: str) -> str:
    last = name.rpartition("_")[2]
    start = 0 if last.isupper() else max((at for at, letter in enumerate(last) if letter.isupper()), default=0)
    return last[start:].lower()


def _is_lazy_name(name: str) -> bool:
    return name.lstrip("_").startswith("Lazy") or name.endswith(_LAZY_ENDINGS)


def role_of(cls: type) -> Role:
    """Return the role of the values of a type; see `Role`.

    Args:
        cls: The type, from `type(value)`: the `__class__` of a proxy may be that of its target.
    """
    role = _BUILTINS.get(cls) or _roles.get(cls)
    if role is None:
        role = _roles[cls] = _classify(cls)
    return role


def is_library_set(cls: type) -> bool:
    """Return whether the values of a type are sets of a library in the table, lazy or not, even if they are awaitable.

    Args:
        cls: The type.
    """
    return any(_by_module(base) in ("lazy", "records", "array") for base in cls.__mro__)


def _classify(cls: type) -> Role:
    for known, role in _BASES:
        if issubclass(cls, known):
            return role
    if cls.__name__ in _time_names or _has(cls, "isoformat") or _has(cls, "ToDatetime"):
        return "time"
    is_sized, is_option = _has(cls, "__len__"), _last_word(cls.__name__) in _class_words
    is_own = False  # whether __len__ is defined by a subclass of the library's class
    for base in cls.__mro__[:-1]:
        named = _by_module(base)
        if named == "lazy":
            return "never" if is_option and not is_sized else "lazy"  # a session is not what it loads
        if named is not None and not is_own:
            return named
        is_own = is_own or "__len__" in vars(base)
    is_iterable = any(_has(cls, name) for name in ("__iter__", "__aiter__", "__next__", "__await__"))
    if not is_sized and (not is_iterable or any(_has(cls, name) for name in _CONNECTION_METHODS)):
        if _is_lazy_name(cls.__name__):
            return "lazy"
        return "number" if _has(cls, "__float__") else "never" if _has(cls, "__call__") else "object"
    if is_option or (is_sized and any(_has(cls, name) for name in ("commit", "cursor"))):
        return "never"
    if not is_sized or _is_lazy_name(cls.__name__) or _is_entity(cls):
        return "lazy"
    is_row = issubclass(cls, tuple) and (hasattr(cls, "_fields") or hasattr(cls, "n_fields"))
    return "object" if is_row else "records"


def _by_module(cls: type) -> Role | None:
    name = f"{cls.__module__}.{cls.__qualname__}"
    while name:
        if name in _BY_MODULE:
            return _BY_MODULE[name]
        name = name.rpartition(".")[0]
    return None


def _has(cls: type, name: str) -> bool:
    """Return whether the values of a type have an attribute; attributes of its metaclass are ignored."""
    return any(vars(base).get(name) is not None for base in cls.__mro__)


def _is_entity(cls: type) -> bool:
    """Return whether a type is a row of an ORM, whose `__len__` may run a query."""
    names: set[Any] = {f"{base.__module__}.{base.__qualname__}" for base in cls.__mro__}
    return _has(cls, "__mapper__") or not names.isdisjoint(("django.db.models.base.Model", "peewee.Model"))
