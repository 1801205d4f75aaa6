"""A misspelt runtime is a worker that gets nothing: the log says which name was probably meant."""

from __future__ import annotations

import logging

import pytest

from agent.runtimes.offered import RuntimeDetector


def test_an_unknown_name_is_warned_about_with_the_nearest_known_one(caplog: pytest.LogCaptureFixture) -> None:
    detector = RuntimeDetector("worker", override="pyton,lua", capabilities={})
    with caplog.at_level(logging.WARNING):
        assert detector.from_detection([]).runtimes == ("pyton", "lua")
    texts = [record.getMessage() for record in caplog.records]
    assert "ATTUNE_WORKER_RUNTIMES names pyton, which is not a known runtime; did you mean python?" in texts
    assert any(text.startswith("ATTUNE_WORKER_RUNTIMES names lua, which is not a known runtime") for text in texts)


def test_a_runtime_that_packs_describe_is_known(caplog: pytest.LogCaptureFixture) -> None:
    RuntimeDetector("worker", override="lua", capabilities={}).from_detection([], described=["lua"])
    assert not caplog.records
