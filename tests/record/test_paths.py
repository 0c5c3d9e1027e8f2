"""`otel_kcevents.record.paths`: what a path reads from a call, and the errors of an invalid path."""

from __future__ import annotations

import asyncio
import re
import threading
import types
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextvars import copy_context
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telemetry import DAY, Telemetry, Warned

from otel_kcevents.record.paths import compile_path, keep

RESULT = SimpleNamespace(rows=[1, 2, 3])


def read(path: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Read a path from a call that returned `RESULT`."""
    return compile_path(path, function).read(args, kwargs, RESULT)


def save(config: Any, mode: str = "append", *more: Any, batch: Any = None, **options: Any) -> Any: ...


def items(rows: Any) -> Iterator[Any]:
    yield rows


async def async_items(rows: Any) -> AsyncIterator[Any]:
    yield rows


async def load(rows: Any) -> Any: ...


@types.coroutine
def load_from_generator(rows: Any) -> Generator[Any, Any, None]:
    yield rows


CONFIG = {"params": [[7, 8], "x"], "allocation key": DAY, 3: "three", "-": "dash"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("config", CONFIG),
        ("config[params][0][1]", 8),
        ("config[params][-1]", "x"),
        ("config[params][-2][-1]", 8),
        ("config[3]", "three"),
        ("config[-]", "dash"),
        ("config[allocation key].start_text", DAY.start_text),
        ("mode", "overwrite"),
        ("more", (1, 2)),
        ("more[1]", 2),
        ("batch.rows", [4]),
        ("batch.rows[0]", 4),
        ("options", {"period": DAY}),
        ("options[period]", DAY),
        ("period", DAY),
        ("period.start_text", DAY.start_text),
        ("return", RESULT),
        ("return.rows", [1, 2, 3]),
        ("result.rows[-1]", 3),
        ("result.__class__", SimpleNamespace),
    ],
)
def test_path_reads_arguments_and_result(path: str, value: Any) -> None:
    assert read(path, save, CONFIG, "overwrite", 1, 2, batch=SimpleNamespace(rows=[4]), period=DAY) == value


def test_path_may_have_any_identifier() -> None:
    """A combining vowel sign is part of an identifier, but is not matched by the pattern for words."""
    assert read("मूल्य.größe", lambda मूल्य: None, SimpleNamespace(größe=5)) == 5


@pytest.mark.parametrize(("path", "value"), [("mode", "append"), ("batch", None), ("more", ()), ("options", {})])
def test_path_reads_the_default_of_an_argument(path: str, value: Any) -> None:
    assert read(path, save, CONFIG) == value


NAMES = st.sampled_from(["rows", "_cost", "größe", "class"])
KEYS = st.text(st.characters(exclude_characters="[]"), min_size=1).filter(
    lambda key: key != "*" and key[0] not in "'\"" and not re.fullmatch("-?[0-9]+", key)
)
STEPS = st.lists(
    st.tuples(st.just("name"), NAMES)
    | st.tuples(st.just("key"), KEYS)
    | st.tuples(st.just("index"), st.integers(-3, 3))
    | st.tuples(st.just("each"), st.sampled_from([list, tuple, deque, lambda found: dict(enumerate(found))])),
    max_size=5,
)


@given(st.data(), STEPS)
def test_path_reads_the_leaves_of_random_data(data: st.DataObject, steps: list[tuple[str, Any]]) -> None:
    """The data is built around its leaves: a single one, or as many as `[*]` fans out to."""
    leaves: list[Any] = []

    def build(depth: int) -> Any:
        if depth == len(steps):
            leaves.append(data.draw(st.none() | st.integers() | st.text()))
            return leaves[-1]
        kind, key = steps[depth]
        if kind == "each":
            return key([build(depth + 1) for _ in range(data.draw(st.integers(0, 2)))])
        inner = build(depth + 1)
        if kind == "index":
            return [*["before"] * key, inner] if key >= 0 else [inner, *["after"] * (-key - 1)]
        return SimpleNamespace(**{key: inner}) if kind == "name" else {key: inner}

    value = build(0)
    path = "rows" + "".join(
        f".{key}" if kind == "name" else "[*]" if kind == "each" else f"[{key}]" for kind, key in steps
    )
    compiled = compile_path(path, items)
    assert compiled.fans_out == any(kind == "each" for kind, _ in steps)
    expected = [leaf for leaf in leaves if leaf is not None] if compiled.fans_out else leaves[0]
    assert compiled.read((value,), {}, None) == expected


# None


@pytest.mark.parametrize(
    ("path", "config"),
    [
        *[
            (path, None)
            for path in ("config", "config.a.b", "config[0]", "config[key]", "config[*].rows", "result[*].a")
        ],
        ("config.day.start", SimpleNamespace(day=None)),
    ],
)
def test_none_anywhere_reads_as_none(telemetry: Telemetry, warned: Warned, path: str, config: Any) -> None:
    function: Any = telemetry.asset.save(window=path, size=path)(lambda config: None)
    function(config)
    assert (telemetry.event.window, telemetry.event.size, warned()) == (None, None, [])


# Roots


@pytest.mark.parametrize("name", ["result", "kept", "env"])
def test_argument_takes_precedence_over_other_roots(name: str) -> None:
    namespace: dict[str, Any] = {}
    exec(f"def function({name}): ...", namespace)
    assert read(f"{name}.rows", namespace["function"], SimpleNamespace(rows=[5])) == [5]
    assert compile_path(name, namespace["function"]).root == "argument"


@pytest.mark.parametrize(("path", "otherwise"), [("result.rows", [1, 2, 3]), ("kept.rows", 2), ("env.rows", "3")])
def test_passed_keyword_argument_takes_precedence(monkeypatch: pytest.MonkeyPatch, path: str, otherwise: Any) -> None:
    """If the function takes any keyword argument."""
    monkeypatch.setenv("rows", "3")

    def read_twice() -> tuple[Any, Any]:
        keep("rows", 2)
        name = path.partition(".")[0]
        return read(path, save, CONFIG, **{name: SimpleNamespace(rows="mine")}), read(path, save, CONFIG)

    assert copy_context().run(read_twice) == ("mine", otherwise)


@pytest.mark.parametrize(("path", "value"), [("env", ["prod"]), ("kept[0]", 5)])
def test_kept_or_env_without_a_name_is_an_argument(path: str, value: Any) -> None:
    """`kept` and `env` need a name: `kept.NAME`, `env.NAME`."""
    assert read(path, save, CONFIG, env=["prod"], kept=[5]) == value


def test_missing_keyword_argument_is_omitted_with_one_warning(telemetry: Telemetry, warned: Warned) -> None:
    function: Any = telemetry.asset.load(window="period")(lambda **options: [1])
    for options in ({}, {}, {"period": DAY}):
        function(**options)
    assert [event.window for event in telemetry.events] == [None, None, DAY]
    (warning,) = warned()
    assert "the window" in warning
    assert "'period'" in warning


def test_function_without_a_signature_takes_any_name(telemetry: Telemetry) -> None:
    """Such as one in C."""
    collected: dict[str, Any] = {}
    update: Any = telemetry.asset.save(window="period", size="rows")(collected.update)
    update(period=DAY, rows=[1, 2])
    assert (telemetry.event.window, telemetry.event.size) == (DAY, 2)


def test_yield_reads_the_item_it_is_given() -> None:
    for function in (items, async_items):
        path = compile_path("yield.rows", function)
        assert (path.root, path.fans_out) == ("yield", False)
        assert path.read((), {}, SimpleNamespace(rows=5)) == 5
        assert compile_path("yield[*].cost", function).fans_out


def test_env_is_the_variable_at_the_time_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    path = compile_path("env.KC_WINDOW", save)
    values = []
    for value in ("2022-06-03", "", "2022-06-04"):
        monkeypatch.setenv("KC_WINDOW", value)
        values.append(path.read((), {}, None))
    monkeypatch.delenv("KC_WINDOW")
    assert [*values, path.read((), {}, None)] == ["2022-06-03", None, "2022-06-04", None]


def read_kept() -> Any:
    return read("kept.window", save, CONFIG)


def test_kept_value_is_read_in_the_same_context() -> None:
    def use() -> list[Any]:
        values = [read_kept()]
        for value in (DAY, "later"):
            keep("window", value)
            keep("other", 5)
            values.append(read_kept())
        return values

    assert copy_context().run(use) == [None, DAY, "later"]
    assert read_kept() is None


def test_task_reads_what_was_kept_before_it_started() -> None:
    """Its own values are not seen outside."""

    async def task(name: str) -> list[Any]:
        values = [read_kept()]
        keep("window", name)
        await asyncio.sleep(0)
        return [*values, read_kept()]

    async def run() -> list[Any]:
        keep("window", "before")
        return [*await asyncio.gather(task("a"), task("b")), read_kept()]

    assert asyncio.run(run()) == [["before", "a"], ["before", "b"], "before"]


def test_thread_has_its_own_kept_values() -> None:
    def use() -> Any:
        keep("window", "here")
        thread = threading.Thread(target=copy_context().run, args=(keep, "window", "there"))
        thread.start()
        thread.join()
        return read_kept()

    assert copy_context().run(use) == "here"


# Fanning out


@pytest.mark.parametrize(
    "rows",
    [[1, None, 2], (1, None, 2), deque([1, None, 2]), {"a": 1, "b": None, "c": 2}, {"a": 1, "b": 2}.values()],
    ids=lambda rows: type(rows).__name__,
)
def test_fan_out_reads_the_items_of_a_collection(rows: Any) -> None:
    """The values of a mapping; None is dropped."""
    assert read("rows[*]", items, rows) == [1, 2]


def test_fan_out_reads_the_items_of_a_set() -> None:
    assert sorted(read("rows[*]", items, {1, 2})) == [1, 2]


def test_fan_out_reads_any_sized_iterable() -> None:
    class Rows:
        def __len__(self) -> int:
            return 2

        def __iter__(self) -> Iterator[int]:
            return iter([1, 2])

    assert read("rows[*]", items, Rows()) == [1, 2]


def test_nested_fan_out_reads_one_flat_list() -> None:
    services = [SimpleNamespace(items=[{"cost": 1}, {"cost": 2}]), SimpleNamespace(items=None)]
    assert read("rows[*].items[*][cost]", items, services) == [1, 2]
    assert read("rows[*].items[*]", items, []) == []


@pytest.mark.parametrize("rows", ["ab", b"ab", 5, object()], ids=type)
def test_fan_out_over_other_values_is_a_type_error(rows: Any) -> None:
    with pytest.raises(TypeError, match=rf"\[\*\].* {type(rows).__name__}"):
        read("rows[*]", items, rows)


def test_fan_out_never_consumes_an_iterator(telemetry: Telemetry, warned: Warned) -> None:
    """The field is omitted with a warning."""

    class Sized:
        def __init__(self) -> None:
            self.left = [1, 2]

        def __len__(self) -> int:
            return len(self.left)

        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            if not self.left:
                raise StopIteration
            return self.left.pop()

    for rows in (iter([1, 2]), (row for row in (1, 2)), Sized()):
        function: Any = telemetry.asset.load(size="rows[*]")(lambda rows: rows)
        assert len(list(function(rows))) == 2
    assert [event.size for event in telemetry.events] == [None] * 3
    assert ["[*]" in warning for warning in warned()] == [True] * 3


# Mistakes


@pytest.mark.parametrize(
    ("path", "position"),
    [
        ("", 0),
        ("0", 0),
        ("[0]", 0),
        (".rows", 0),
        (" rows", 0),
        ("rows ", 4),
        ("rows .a", 4),
        ("rows. a", 4),
        ("rows.", 4),
        ("rows..a", 4),
        ("rows.1", 4),
        ("rows[]", 4),
        ("rows[0", 4),
        ("rows[a[b]]", 4),
        ("rows['a']", 4),
        ("rows]", 4),
        ("rows[0]]", 7),
        ("rows[*]a", 7),
        ("rows!r", 4),
        ("rows()", 4),
        ("rows\n", 4),
    ],
)
def test_syntax_error_shows_path_and_position(telemetry: Telemetry, path: str, position: int) -> None:
    with pytest.raises(TypeError, match=rf"position {position};.*config\[params\]\[0\]\.rows.* rows, ") as caught:
        telemetry.asset.save(window=path)(lambda rows: None)
    assert str(caught.value).startswith(repr(path))


@pytest.mark.parametrize(
    ("path", "function", "hint"),
    [
        (
            "windw.start",
            lambda rows, window: None,
            r"'windw' in 'windw.start'.* did you mean 'window'\?.* rows, window",
        ),
        ("retrun", lambda rows: None, r"'retrun' in 'retrun'.* did you mean 'return'\?.* rows, return, kept.NAME"),
        ("day", items, r"'day' in 'day'.* items; a path starts from rows, return, yield, kept.NAME or env.NAME"),
        ("day", async_items, r"'day' in 'day'.* from rows, yield, kept"),
        ("day", lambda: None, r"'day' in 'day'.* from return, kept"),
    ],
)
def test_unknown_name_error_shows_the_nearest_name_and_all(
    telemetry: Telemetry, path: str, function: Any, hint: str
) -> None:
    with pytest.raises(TypeError, match=hint):
        telemetry.asset.save(window=path)(function)


@pytest.mark.parametrize("function", [lambda rows: None, load, load_from_generator])
def test_yield_of_a_function_without_items_is_an_error(telemetry: Telemetry, function: Any) -> None:
    with pytest.raises(TypeError, match=r"'yield.rows'.*not a generator; use return"):
        telemetry.asset.load(size="yield.rows")(function)


@pytest.mark.parametrize("path", ["return.rows", "result.rows"])
def test_result_of_an_async_generator_is_an_error(telemetry: Telemetry, path: str) -> None:
    with pytest.raises(TypeError, match=rf"'{path}'.* async generator; use yield"):
        telemetry.asset.load(size=path)(async_items)


@pytest.mark.parametrize("path", ["kept", "env", "kept[window]", "env[*]"])
def test_kept_and_env_need_a_name(telemetry: Telemetry, path: str) -> None:
    with pytest.raises(TypeError, match=rf"needs a name; write {path[:4].rstrip('[')}\.NAME"):
        telemetry.asset.load(window=path)(lambda rows: None)


def test_error_names_an_object_by_its_class(telemetry: Telemetry) -> None:
    class Saver:
        def __call__(self, rows: Any) -> None: ...

    with pytest.raises(TypeError, match=r"not an argument of .*Saver; .* rows, return"):
        telemetry.asset.save(window="day")(Saver())


def test_attribute_of_a_dict_names_the_step_for_a_key() -> None:
    with pytest.raises(AttributeError, match=r"a dict has no attribute 'params'; write \[params\] for a key of it"):
        read("config.params", save, CONFIG)
    with pytest.raises(AttributeError, match="'list' object has no attribute 'params'"):
        read("config.params", save, [1])
