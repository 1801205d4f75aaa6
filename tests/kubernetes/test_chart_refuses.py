"""Values that the chart refuses, each by the name of its key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.kubernetes.rendering import PYTHON


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"worker": [PYTHON]}, "worker"),
        ({"workers": [PYTHON | {"replica": 2}]}, "replica"),
        ({"workers": [PYTHON | {"probes": {"live": {}}}]}, "live"),
        ({"workers": [PYTHON | {"probes": {"liveness": {"period": 1}}}]}, "period"),
        ({"workers": [{"name": "python"}]}, "image"),
        ({"workers": [{"image": "python"}]}, "name"),
        ({"workers": [PYTHON | {"name": "a.b"}]}, "name"),
        ({"workers": [PYTHON | {"stopGracePeriod": 10}]}, "stopGracePeriod"),
        ({"workers": [PYTHON | {"stopGracePeriod": "45s"}]}, "stopGracePeriod"),
        ({"workers": [PYTHON | {"maxConcurrentTasks": "many"}]}, "maxConcurrentTasks"),
        ({"workers": [PYTHON | {"logLevel": "loud"}]}, "logLevel"),
        ({"workerDefaults": {"replica": 2}}, "replica"),
        ({"packs": {"claim": "x"}}, "claim"),
        ({"networkPolicy": {"egress": {"restrict": True}}}, "restrict"),
        ({"secret": {"databaseURL": "x"}}, "databaseURL"),
        ({"tmp": {"sizeLimit": "big"}}, "sizeLimit"),
        ({"databaseSchema": "a; drop"}, "databaseSchema"),
        ({"server": {"parts": ["executor"]}}, "parts"),
    ],
)
def test_a_value_that_is_not_one_is_refused_by_its_name(
    refused: Callable[..., str], values: dict[str, Any], named: str
) -> None:
    assert named in refused(**values)


def test_two_pools_of_one_name_are_refused(refused: Callable[..., str]) -> None:
    said = refused(workers=[PYTHON, PYTHON | {"name": "Python"}])
    assert "attune-agent-worker-python" in said
    assert "another name" in said


def test_autoscaling_without_a_runtime_says_what_to_set(refused: Callable[..., str]) -> None:
    assert "autoscaling.runtimes" in refused(workers=[PYTHON | {"autoscaling": {"enabled": True}}])


@pytest.mark.parametrize(
    ("setting", "instead"),
    [
        ("worker.heartbeat_interval", "heartbeatInterval"),
        ("worker.max_concurrent_tasks", "maxConcurrentTasks"),
        ("worker.shutdown_timeout", "stopGracePeriod"),
        ("log.level", "logLevel"),
        ("database.schema", "databaseSchema"),
        ("database.url", "secret.databaseUrl"),
    ],
)
def test_a_setting_that_a_value_decides_is_refused_with_the_name_of_that_value(
    refused: Callable[..., str], setting: str, instead: str
) -> None:
    """The pod would get it as a variable, which wins over the configuration file."""
    section, key = setting.split(".")
    said = refused(workers=[PYTHON], config={section: {key: 1}})
    assert f"config.{setting}" in said
    assert instead in said
