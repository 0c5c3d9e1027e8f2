"""`otel_kcevents.pytest_plugin`: the fixture and the marker `kcevents` in sessions of pytest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from textwrap import dedent

import pytest
from conftest import clean_environment

from otel_kcevents.testing import capture

ETL = """
import unittest

import pytest

from otel_kcevents import asset, default_log

@asset.save
def save(rows, window="2024-09-18"):
    if not rows:
        raise ValueError("no rows")

def fail():
    with pytest.raises(ValueError):
        save([])
"""


@pytest.fixture(autouse=True)
def _environment(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the sessions find: this checkout, only those of the installed plugins that are named, and an empty log."""
    environment = clean_environment()
    for name in set(os.environ) - set(environment):
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", environment["PYTHONPATH"])
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p kcevents --strict-markers -W error")  # which `pytester` has unset
    monkeypatch.setenv("COLUMNS", "120")
    with capture():
        yield


def run(pytester: pytest.Pytester, code: str, *args: str, **outcomes: int) -> pytest.RunResult:
    """Run tests of an ETL in a session of their own, and check how they end."""
    pytester.makepyfile(ETL + dedent(code))
    result = pytester.runpytest(*args)
    result.assert_outcomes(**outcomes)
    return result


def test_fixture_isolates_the_log(pytester: pytest.Pytester) -> None:
    code = """
    def test_first(kcevents):
        save([1, 2, 3])
        kcevents.assert_emitted("AssetSetSaved", size=3, window="2024-09-18")
        assert default_log.counts() == kcevents.counts == {"AssetSetSaved": 1}

    def test_second(kcevents):
        assert kcevents.events == ()

    def test_without():
        assert default_log.counts() == {}
    """
    run(pytester, code, passed=3)


def test_failure_shows_the_test_and_the_events(pytester: pytest.Pytester) -> None:
    code = """
    def test_size(kcevents):
        save([1, 2])
        kcevents.assert_emitted("AssetSetSaved", size=3)
    """
    result = run(pytester, code, "-q", failed=1)
    expected = """
    def test_size(kcevents):
        save([1, 2])
>       kcevents.assert_emitted("AssetSetSaved", size=3)
E       AssertionError: expected AssetSetSaved size=3; emitted, the closest first:
E         different size  AssetSetSaved size=2 window=2024-09-18T00:00:00Z,2024-09-19T00:00:00Z
"""
    result.stdout.fnmatch_lines([line.replace("[", "[[]") for line in expected.splitlines()[1:]], consecutive=True)


def test_events_of_the_fixtures_of_a_test_are_captured(pytester: pytest.Pytester) -> None:
    """In any order of the arguments; those of wider fixtures are not."""
    code = """
    @pytest.fixture(scope="module")
    def module():
        save([1])

    @pytest.fixture(autouse=True)
    def always():
        save([1, 2])

    @pytest.fixture
    def function():
        save([1, 2, 3])
        yield
        assert default_log.counts() == {"AssetSetSaved": 2}

    def test_sizes(module, function, kcevents):
        assert [event.size for event in kcevents.events] == [2, 3]

    def test_wider(module):
        assert [event.size for event in default_log.document().lists["asset"]] == [2, 1]
    """
    run(pytester, code, passed=2)


def test_fixture_may_be_overridden(pytester: pytest.Pytester) -> None:
    code = """
    @pytest.fixture
    def kcevents(tmp_path, kcevents):
        save([1])
        kcevents.clear()
        return kcevents

    def test_events(kcevents):
        assert kcevents.events == ()
    """
    run(pytester, code, passed=1)


def test_fixture_may_be_requested_late(pytester: pytest.Pytester) -> None:
    code = """
    def test_events(request):
        save([1])
        kcevents = request.getfixturevalue("kcevents")
        save([1, 2])
        assert [event.size for event in kcevents.events] == [2]
    """
    run(pytester, code, passed=1)


def test_marker_isolates_the_log_without_the_fixture(pytester: pytest.Pytester) -> None:
    code = """
    @pytest.mark.kcevents
    def test_first():
        save([1])
        fail()

    def test_second():
        assert default_log.counts() == {}
    """
    run(pytester, code, passed=2)


def test_marker_fails_a_test_with_errors(pytester: pytest.Pytester) -> None:
    code = """
    @pytest.mark.kcevents(no_errors=True)
    class TestEtl:
        def test_error(self):
            fail()

        def test_success(self, kcevents):
            save([1])
            assert kcevents.counts == {"AssetSetSaved": 1}

        @pytest.mark.kcevents(no_errors=False)
        def test_expected_error(self):
            fail()

        def test_failure(self):
            save([])
    """
    result = run(pytester, code, passed=2, failed=2)
    result.stdout.fnmatch_lines(["expected no errors; emitted:", "  AssetSetComputeError window=* operation=save *"])
    result.stdout.fnmatch_lines(["FAILED *::test_error - Failed: *", "FAILED *::test_failure - ValueError: *"])


def test_marker_shows_errors_of_the_teardown(pytester: pytest.Pytester) -> None:
    code = """
    @pytest.fixture
    def etl():
        yield
        fail()

    @pytest.mark.kcevents(no_errors=True)
    def test_error(etl):
        save([1])

    @pytest.mark.kcevents(no_errors=True)
    def test_failure(etl):
        assert False
    """
    result = run(pytester, code, passed=1, failed=1, errors=1)
    result.stdout.fnmatch_lines(["ERROR *::test_error - Failed: expected no errors*"])


@pytest.mark.parametrize("arguments", ["no_error=True", "True", "no_errors=1"])
def test_marker_with_other_arguments_is_refused(pytester: pytest.Pytester, arguments: str) -> None:
    """Only its own test has an error; the others run."""
    code = f"@pytest.mark.kcevents({arguments})\ndef test_etl(): ...\n\ndef test_other(kcevents): ..."
    result = run(pytester, code, passed=1, errors=1)
    message = f"the marker kcevents takes only no_errors=True or no_errors=False, got {arguments}"
    result.stdout.fnmatch_lines([message])


def test_mistake_in_an_assertion_is_shown_in_the_test(pytester: pytest.Pytester) -> None:
    """Not in the package."""
    code = """
    def test_kind(kcevents):
        kcevents.assert_emitted("AssetSetSavd")
    def test_window(kcevents):
        kcevents.assert_emitted("AssetSetSaved", window="yesterdy")
    def test_match(kcevents):
        kcevents.assert_emitted("AssetSetSaved", match="(")
    """
    result = run(pytester, code, failed=3)
    result.stdout.no_fnmatch_line("*expected_event.py*")


def test_marker_is_listed(pytester: pytest.Pytester) -> None:
    pytester.runpytest("--markers").stdout.fnmatch_lines(["@pytest.mark.kcevents(no_errors=False): *"])


def test_fixture_and_marker_work_with_unittest(pytester: pytest.Pytester) -> None:
    code = """
    from otel_kcevents.testing import capture

    class TestEtl(unittest.TestCase):
        def setUp(self):
            context = capture()
            self.kcevents = context.__enter__()
            self.addCleanup(context.__exit__, None, None, None)

        def test_capture(self):
            save([1])
            self.assertEqual(self.kcevents.counts, {"AssetSetSaved": 1})

    class TestMarked(unittest.TestCase):
        @pytest.mark.kcevents(no_errors=True)
        def test_marker(self):
            fail()

        @pytest.mark.usefixtures("kcevents")
        def test_fixture(self):
            save([1])

    def test_after():
        assert default_log.counts() == {}
    """
    run(pytester, code, passed=3, failed=1)


def test_asynchronous_tests_and_fixtures_are_captured(pytester: pytest.Pytester) -> None:
    code = """
    import asyncio

    @pytest.fixture
    def anyio_backend():
        return "asyncio"

    @pytest.fixture
    async def saved(anyio_backend):
        save([1])

    @pytest.mark.anyio
    async def test_tasks(saved, kcevents):
        async def work():
            save([1, 2])
            await asyncio.get_running_loop().run_in_executor(None, save, [1, 2, 3])

        await asyncio.gather(work(), work())
        assert sorted(event.size for event in kcevents.events) == [1, 2, 2, 3, 3]
    """
    run(pytester, code, "-p", "anyio", passed=1)


def test_test_that_is_run_again_has_its_own_capture(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
            for _ in range(2):
                for report in runtestprotocol(item, nextitem=nextitem, log=False):
                    item.ihook.pytest_runtest_logreport(report=report)
            return True
        """
    )
    code = """
    @pytest.mark.kcevents(no_errors=True)
    def test_once(kcevents):
        save([1])
        assert kcevents.counts == {"AssetSetSaved": 1}
    """
    run(pytester, code, passed=2)


def test_plugin_can_be_switched_off(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_ADDOPTS")
    result = run(pytester, "def test_etl(kcevents): ...", "-p", "no:kcevents", errors=1)
    result.stdout.fnmatch_lines(["E *fixture 'kcevents' not found"])


def test_workers_of_xdist_have_captures_of_their_own(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
    @pytest.mark.parametrize("size", range(1, 5))
    def test_size(kcevents, size):
        save([0] * size)
        kcevents.assert_emitted("AssetSetSaved", size=size, count=1)

    @pytest.mark.kcevents(no_errors=True)
    def test_error():
        fail()
    """
    pytester.makepyfile(ETL + dedent(code))
    result = pytester.runpytest_subprocess("-p", "xdist", "-n", "2")
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["expected no errors; emitted:"])


def test_pytest_does_not_warn_if_the_package_is_imported_first(pytester: pytest.Pytester) -> None:
    """It marks the packages of installed plugins like this; an editable installation has none."""
    pytester.makeconftest("import otel_kcevents, pytest\npytest.register_assert_rewrite('otel_kcevents')")
    pytester.makepyfile("def test_nothing(): ...")
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1)
    assert "Warning" not in result.stdout.str() + result.stderr.str()
