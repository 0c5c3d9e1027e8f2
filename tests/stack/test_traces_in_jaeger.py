"""The commands, the query and the results in docs/deploying.md (its `back-ends` blocks) match the real programs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.parse

import pytest

from stack.backends import Collector, Jaeger, fetch, run_example
from stack.conftest import Stack
from stack.programs import ROOT, wait_until

PAGE = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+) back-ends\n(.*?)^```$", PAGE, re.M | re.S)


@pytest.fixture(scope="module")
def jaeger(shared: Stack) -> Jaeger:
    return shared.jaeger()


@pytest.fixture(scope="module")
def collector(shared: Stack, jaeger: Jaeger) -> Collector:
    """The collector, after a run of the example."""
    collector = shared.collector("collector.yaml", KCEVENTS_JAEGER=jaeger.otlp)
    run_example(collector.grpc)
    return collector


def test_commands_of_the_page_name_existing_files() -> None:
    paths = re.findall(r"(?:collector-config|examples)/[\w./-]+", BLOCKS[0][1])
    assert len(BLOCKS) == 4
    assert len(paths) == 4
    assert all((ROOT / path).exists() for path in paths)


def test_query_of_the_page_finds_the_event_it_shows(jaeger: Jaeger, collector: Collector) -> None:
    command = BLOCKS[1][1]
    parameters = dict(urllib.parse.parse_qsl("&".join(re.findall(r"(?:-d |--data-urlencode ')([^' \n]+)", command))))
    assert set(parameters) == {"service", "tags"}
    (program,) = re.findall(r"python -c '(.*)'$", command, re.S | re.M)

    def found() -> str:
        answer = fetch(f"{jaeger.url}/api/traces", **parameters) or {"data": []}
        return subprocess.run(
            [sys.executable, "-c", program], input=json.dumps(answer), capture_output=True, text=True, check=True
        ).stdout

    assert wait_until(found, "the example's trace in Jaeger") == BLOCKS[2][1]


def test_collector_exposes_the_counters_of_the_page(collector: Collector) -> None:
    def without_instance(lines: str) -> list[str]:
        return re.sub(r'instance="[^"]+"', 'instance=""', lines).splitlines()

    def found() -> bool:
        exposed = without_instance("\n".join(collector.metrics(collector.exposed)))
        return set(without_instance(BLOCKS[3][1])) <= set(exposed)

    assert len(BLOCKS[3][1].splitlines()) == 3
    wait_until(found, "the example's counters")
