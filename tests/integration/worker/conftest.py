"""Fixtures of the worker's life-cycle and fault tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.worker.jobs import Jobs
from tests.services.deployment import Deployment


@pytest.fixture
def jobs(fresh_deployment: Deployment) -> Iterator[Jobs]:
    """The jobs of a deployment of this test's own; all are released before its agents are stopped."""
    made = Jobs(fresh_deployment)
    yield made
    made.release()


@pytest.fixture(scope="module")
def shared_jobs(deployment: Deployment) -> Iterator[Jobs]:
    """The jobs of the deployment that the tests of a module share."""
    made = Jobs(deployment)
    yield made
    made.release()
