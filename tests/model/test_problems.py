"""`ProblemLogger`: warnings reach the program's logging as usual, and are kept whatever it does with them."""

from __future__ import annotations

import logging

import pytest

from otel_kcevents.model.problems import MAX_PROBLEMS, ProblemLogger


def messages(logger: ProblemLogger, number: int = 0) -> list[str]:
    return [problem.message for problem in logger.since(number)]


def test_warning_is_logged_with_its_call_site(caplog: pytest.LogCaptureFixture) -> None:
    ProblemLogger().warning("lost %d spans to %s", 3, "the collector")
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("otel_kcevents", "WARNING")
    assert (record.getMessage(), record.msg) == ("lost 3 spans to the collector", "lost %d spans to %s")
    assert record.pathname == __file__


def test_exception_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """The kept warning has only the type: the message of an exception may hold a secret."""
    logger = ProblemLogger()
    try:
        raise ValueError("hunter2")
    except ValueError:
        logger.exception("cannot answer %s", "GET")
    assert caplog.records[0].exc_info
    assert messages(logger) == ["cannot answer GET: ValueError"]


def test_detail_is_logged_but_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    logger = ProblemLogger()
    logger.debug("refused %s", "a connection")
    assert [record.getMessage() for record in caplog.records] == ["refused a connection"]
    assert messages(logger) == []


def test_warning_is_kept_if_logging_is_disabled(caplog: pytest.LogCaptureFixture) -> None:
    logger = ProblemLogger()
    logging.disable(logging.CRITICAL)
    try:
        logger.warning("100% lost")
    finally:
        logging.disable(logging.NOTSET)
    assert not caplog.records
    assert messages(logger) == ["100% lost"]


def test_newest_warnings_are_kept_and_numbered() -> None:
    logger = ProblemLogger()
    assert logger.last == 0
    for number in range(MAX_PROBLEMS + 10):
        logger.warning("%d", number)
    assert logger.last == MAX_PROBLEMS + 10
    assert len(messages(logger)) == MAX_PROBLEMS
    assert messages(logger, logger.last - 2) == ["108", "109"]


def test_long_warning_is_truncated() -> None:
    logger = ProblemLogger()
    logger.warning("x" * 5000)
    assert messages(logger) == [f"{'x' * 4096}…"]
