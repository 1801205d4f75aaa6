"""Fixtures of the sensor service's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.sensors.watched import Watched
from tests.services.deployment import Deployment, running_deployment


@pytest.fixture(scope="module")
def sensor_deployment(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """A deployment with PostgreSQL alone and one sensor service, for all tests of a module."""
    with running_deployment(request, getattr(request, "param", "database")) as laid_out:
        laid_out.settings["TOLD"] = str(laid_out.directory / "told")
        laid_out.settings["ATTUNE__SENSOR__RECONCILE_INTERVAL"] = "600"  # changes are heard of, not found
        laid_out.settings["ATTUNE__ARTIFACTS__SENSOR_LOG_MAX_BYTES"] = str(64 * 1024)
        laid_out.settings["ATTUNE__SENSOR__MAX_CONCURRENT_SENSORS"] = "40"
        laid_out.start_agent("sensors-1", sensors=True)
        yield laid_out


@pytest.fixture
def watched(sensor_deployment: Deployment) -> Watched:
    """The sensors of that deployment."""
    return Watched(sensor_deployment)
