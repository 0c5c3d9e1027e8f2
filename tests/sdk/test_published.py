"""`otel_kcevents.sdk.published`: what a process publishes to those that it starts."""

from __future__ import annotations

import os

import pytest

from otel_kcevents.sdk.published import publish_mapping


def test_file_of_the_mapping_is_published_until_it_is_withdrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_PYTHON_KCEVENTS_MAPPING", "given.toml")
    assert publish_mapping("/jobs/kcevents.toml") == "given.toml"
    assert os.environ["OTEL_PYTHON_KCEVENTS_MAPPING"] == "/jobs/kcevents.toml"
    assert publish_mapping(None) == "/jobs/kcevents.toml"
    assert "OTEL_PYTHON_KCEVENTS_MAPPING" not in os.environ
