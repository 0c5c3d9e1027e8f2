"""`otel_kcevents.sdk.scrub_choice`: the function that scrubs messages, in child processes too."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import run_program
from telemetry import Telemetry, Warned

import otel_kcevents
from otel_kcevents import set_scrub
from otel_kcevents.model.event import Failure
from otel_kcevents.model.messages import error_message, stack_trace

SECRET = ValueError("password=hunter2")
DEFAULT = "password=[redacted]"


@pytest.fixture(autouse=True)
def default() -> Iterator[None]:
    yield
    set_scrub()


def hide(message: str) -> str:
    return "hidden"


def fail(message: str) -> str:
    raise ValueError(message)


def answer_bytes(message: str) -> Any:
    return message.encode()


@pytest.mark.parametrize(
    ("choice", "message"), [(hide, "hidden"), (False, "password=hunter2"), (True, DEFAULT), (None, DEFAULT)]
)
def test_chosen_function_applies_to_messages(choice: Any, message: str) -> None:
    set_scrub(choice)
    assert error_message(SECRET) == message


@pytest.mark.parametrize("function", [fail, answer_bytes])
def test_function_that_fails_is_replaced_by_the_default(warned: Warned, function: Any) -> None:
    set_scrub(function)
    assert [error_message(SECRET) for _ in range(3)] == [DEFAULT] * 3
    (warning,) = warned()
    assert function.__qualname__ in warning
    assert "hunter2" not in warning


def test_function_that_records_a_failure_does_not_call_itself(telemetry: Telemetry) -> None:
    def scrub(message: str) -> str:
        telemetry.asset.emit("compute_error", error=SECRET)
        return "hidden"

    set_scrub(scrub)
    assert error_message(SECRET) == "hidden"
    assert telemetry.event.failure == Failure("ValueError", DEFAULT, "compute")


@pytest.mark.parametrize("choose", [set_scrub, lambda choice: otel_kcevents.configure(scrub=choice)])
@pytest.mark.parametrize("choice", [5, "hide"])
def test_other_choices_are_refused(choose: Callable[[Any], None], choice: Any) -> None:
    with pytest.raises(TypeError, match="scrub must be a function"):
        choose(choice)


def test_lambda_is_used_with_a_warning(warned: Warned) -> None:
    set_scrub(lambda message: "hidden")
    assert error_message(SECRET) == "hidden"
    (warning,) = warned()
    assert "spawned processes use the default" in warning


def test_scrub_can_be_part_of_another_function() -> None:
    assert otel_kcevents.scrub("password=hunter2 on db") == "password=[redacted] on db"


@pytest.mark.parametrize("methods", ["fork,fork", "spawn,spawn", "fork,spawn"])
@pytest.mark.parametrize(("choice", "message"), [("named", "hidden: password=hunter2"), ("off", "password=hunter2")])
def test_child_processes_use_the_same_function(methods: str, choice: str, message: str) -> None:
    """A child and its own child, before any of them has failed."""
    assert run_program("scrub_choice", methods, choice) == (f"{message}\n" * 3, "")


@pytest.mark.parametrize("choice", ["named", "configured"])
def test_child_of_a_fork_server_uses_the_same_function(choice: str) -> None:
    """The fork server has imported the package."""
    out, _ = run_program("scrub_choice", "forkserver", choice)
    assert out == "hidden: password=hunter2\n" * 2


@pytest.mark.parametrize(("method", "message"), [("fork", "hidden"), ("spawn", DEFAULT)])
def test_lambda_is_passed_only_to_forked_processes(method: str, message: str) -> None:
    out, err = run_program("scrub_choice", method, "lambda")
    assert out.splitlines() == [message, "hidden"]
    assert err.count("cannot be imported by name") == 1


def test_function_that_a_child_cannot_import_is_reported() -> None:
    out, err = run_program("scrub_choice", "spawn", "missing")
    assert out.splitlines() == [DEFAULT, "password=hunter2"]
    assert "removed is replaced by the default rules" in err


def test_other_program_ignores_an_inherited_name() -> None:
    inherited = f"{os.getpid()} builtins:repr"
    out, err = run_program("scrub_choice", "spawn", "default", OTEL_PYTHON_KCEVENTS_SCRUB=inherited)
    assert (out.splitlines(), err) == ([DEFAULT, DEFAULT], "")


def test_choice_applies_to_stack_traces_at_once() -> None:
    """The cached frames of earlier stack traces are not used."""

    def fail() -> None:
        raise ValueError

    def trace() -> str:
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            fail()
        return stack_trace(caught.value)

    set_scrub()
    assert "raise ValueError" in trace()
    set_scrub(hide)
    assert "raise ValueError" not in trace()
