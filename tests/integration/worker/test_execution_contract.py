"""One execution as its peers see it: the rows, the messages, their order."""

from __future__ import annotations

import pytest

from tests.services.deployment import Deployment

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


@pytest.mark.parametrize("deployment", ["rabbitmq", "database"], indirect=True, scope="module")
def test_smoke(deployment: Deployment) -> None:
    deployment.add_action("demo.hello", "echo hello\n")
    done = deployment.run("demo.hello")
    assert done.status == "completed"
    for m in deployment.messages(done.id):
        print(m)
