"""Pauses grow, stay short enough, and the log is quiet."""

from __future__ import annotations

import logging

import pytest

from agent.counters import COUNTERS
from agent.mq.reconnection import Reconnection


def test_the_first_retry_is_fast_and_none_waits_longer_than_four_seconds() -> None:
    reconnection = Reconnection("worker", "the broker")
    pauses = [reconnection.down("refused") for _ in range(30)]
    assert pauses[0] <= 0.2
    assert max(pauses) <= 4.0
    assert min(pauses[10:]) >= 2.0
    assert len(set(pauses[10:])) > 1, "a fleet must not come back at one instant"


def test_a_connection_that_breaks_at_once_counts_as_a_failed_attempt() -> None:
    reconnection = Reconnection("worker", "the broker")
    for _ in range(10):
        pause = reconnection.down("closed")
        reconnection.up()
    assert pause >= 2.0


def test_a_change_is_logged_once_and_attempts_are_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    reconnection = Reconnection("worker", "the broker")
    reconnection.up()
    for _ in range(5):
        reconnection.down("refused")
    reconnection.up()
    levels = [(record.levelname, record.getMessage().split(" again after")[0]) for record in caplog.records]
    assert levels == [
        ("INFO", "worker: connected to the broker"),
        ("WARNING", "worker: no connection to the broker: refused; trying again"),
        ("INFO", "worker: connected to the broker"),
    ]


def test_a_first_connection_that_took_several_attempts_is_no_reconnection(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    reconnection = Reconnection("first", "the broker")
    reconnection.down("refused")
    reconnection.up()
    assert caplog.records[-1].getMessage() == "first: connected to the broker"
    assert (("connection", "first"),) not in {labels for _, labels in COUNTERS.counts()}
