"""The `back-ends` blocks of docs/deploying.md, on the real programs: the commands' files, the query, the results."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.parse
import urllib.request

import pytest

from stack.backends import Collector, Jaeger, fetch, run_example
from stack.conftest import Stack
from stack.programs import ROOT, until

PAGE = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+) back-ends\n(.*?)^```$", PAGE, re.M | re.S)


@pytest.fixture(scope="module")
def jaeger(shared: Stack) -> Jaeger:
    return shared.jaeger()


@pytest.fixture(scope="module")
def collector(shared: Stack, jaeger: Jaeger) -> Collector:
    """The collector, with the example's run behind it."""
    collector = shared.collector("collector.yaml", KCEVENTS_JAEGER=jaeger.otlp)
    run_example(ROOT / "examples" / "focus_etl.py", collector.grpc, "grpc")
    return collector


def test_the_commands_name_files_that_are_there() -> None:
    paths = re.findall(r"(?:collector-config|examples)/[\w./-]+", BLOCKS[0][1])
    assert len(BLOCKS) == 4
    assert len(paths) == 4
    assert all((ROOT / path).exists() for path in paths)


def test_the_query_finds_the_event_that_the_page_shows(jaeger: Jaeger, collector: Collector) -> None:
    command = BLOCKS[1][1]
    parameters = dict(urllib.parse.parse_qsl("&".join(re.findall(r"(?:-d |--data-urlencode ')([^' \n]+)", command))))
    assert set(parameters) == {"service", "tags"}

    (program,) = re.findall(r"python -c '(.*)'$", command, re.S | re.M)

    def found() -> str:
        answer = fetch(f"{jaeger.url}/api/traces", **parameters) or {"data": []}
        return subprocess.run(
            [sys.executable, "-c", program], input=json.dumps(answer), capture_output=True, text=True, check=True
        ).stdout

    assert until(found, "the example's trace in Jaeger") == BLOCKS[2][1]


def test_the_collector_exposes_the_counters_of_the_page(collector: Collector) -> None:
    def exposed() -> list[str]:
        with urllib.request.urlopen(f"http://{collector.exposed}/metrics", timeout=10) as answer:
            lines = re.sub(r'instance="[^"]+"', 'instance=""', answer.read().decode()).splitlines()
        return [line for line in re.sub(r'instance="[^"]+"', 'instance=""', BLOCKS[3][1]).splitlines() if line in lines]

    assert len(until(exposed, "the example's counters")) == 3
