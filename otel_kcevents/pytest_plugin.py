"""The pytest plugin: the fixture `kcevents`, and the marker of the same name.

Every pytest session loads this module, so it imports nothing else of the package until a test uses one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from otel_kcevents.testing import CapturedEvents

__all__ = ["kcevents", "pytest_collection_modifyitems", "pytest_configure"]

_USE = pytest.StashKey[bool]()  # whether the test must emit no errors; absent if it does not use the plugin
_WRONG = pytest.StashKey[str]()  # the arguments that its marker does not accept; absent if there are none
_CAPTURED = pytest.StashKey["CapturedEvents"]()
_PASSED = pytest.StashKey[bool]()  # set once the test itself has emitted no errors


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker.

    Args:
        config: The configuration of the session.
    """
    config.addinivalue_line(
        "markers",
        "kcevents(no_errors=False): isolate the logs of otel-kcevents, as the fixture kcevents does; "
        "with no_errors=True, the test fails if it emits an event that reports a failure",
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Find the tests that use the fixture or the marker.

    Args:
        config: The configuration of the session.
        items: The collected tests.
    """
    is_used = False
    for item in items:
        marker = item.get_closest_marker("kcevents")
        if marker is not None or "kcevents" in getattr(item, "fixturenames", ()):
            is_used = True
            item.stash[_USE] = marker is not None and marker.kwargs.get("no_errors", False) is True
            if marker is not None and (wrong := _wrong_arguments(*marker.args, **marker.kwargs)):
                item.stash[_WRONG] = wrong
    if is_used and not config.pluginmanager.has_plugin("kcevents-use"):
        config.pluginmanager.register(_Use(), "kcevents-use")


def _wrong_arguments(*args: object, **kwargs: object) -> str:
    """Return the arguments that a marker does not accept, as they are written; empty if there are none."""
    wrong = [repr(value) for value in args]
    for name, value in kwargs.items():
        if name != "no_errors" or not isinstance(value, bool):
            wrong.append(f"{name}={value!r}")
    return ", ".join(wrong)


@pytest.fixture
def kcevents(request: pytest.FixtureRequest) -> CapturedEvents:
    """The events that the test emits, in any thread, isolated from the logs of the process.

    The capture begins before the first fixture of the test's own scope.
    """
    return _captured(request.node)


class _Use:
    """The hooks of a session in which a test uses the plugin; others do not pay for them."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> None:
        if fixturedef.scope == "function" and _USE in request.node.stash:
            _captured(request.node)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if wrong := item.stash.get(_WRONG, ""):  # the session goes on; a worker of xdist could not report a usage error
            message = f"the marker kcevents takes only no_errors=True or no_errors=False, got {wrong}"
            pytest.fail(message, pytrace=False)
        if _USE in item.stash:
            _captured(item)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        if item.stash.get(_USE, False):
            _fail_on_errors(item.stash[_CAPTURED])
            item.stash[_PASSED] = True


def _captured(item: pytest.Item) -> CapturedEvents:
    """Return the capture of a test, which begins now unless it has begun, and ends after the test's fixtures."""
    if _CAPTURED not in item.stash:
        from otel_kcevents.testing import capture

        context = capture()
        item.stash[_CAPTURED] = context.__enter__()

        def end() -> None:
            context.__exit__(None, None, None)
            captured = item.stash[_CAPTURED]
            del item.stash[_CAPTURED]  # a plugin may run the test again
            if item.stash.get(_PASSED, False):
                del item.stash[_PASSED]
                _fail_on_errors(captured)  # of the teardown

        item.addfinalizer(end)
    return item.stash[_CAPTURED]


def _fail_on_errors(captured: CapturedEvents) -> None:
    problem = None
    try:
        captured.assert_no_errors()
    except AssertionError as error:
        problem = str(error)
    if problem is not None:
        pytest.fail(problem, pytrace=False)
