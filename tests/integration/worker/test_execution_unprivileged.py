"""An agent that runs as an ordinary user, in a container where little can be written.

Promises: settings stay with the agent; no writable place is required.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.services.deployment import ENCRYPTION_KEY, Deployment, running_deployment

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

#: Nobody, when the tests run as root; else the tests' own user.
USER = 65534 if os.geteuid() == 0 else None


@pytest.fixture(scope="module")
def deployment(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """An agent whose artifacts directory is there but can't be written."""
    with running_deployment(request) as laid_out:
        laid_out.artifacts.mkdir()
        laid_out.artifacts.chmod(0o555)
        laid_out.start_agent(user=USER)
        yield laid_out


def test_a_job_of_the_same_user_can_read_neither_environment_nor_memory_of_the_agent(deployment: Deployment) -> None:
    script = """
        id -u
        for file in environ mem maps auxv fd/0; do cat /proc/$PPID/$file > /dev/null 2>&1 && echo "read $file"; done
        tr '\\0' ' ' < /proc/$PPID/cmdline | grep -o 'agent'
    """
    deployment.add_action("plain.curious", script)
    done = deployment.run("plain.curious")
    user, *seen = done.result["stdout"].split("\n")
    assert user == str(USER if USER is not None else os.geteuid())
    assert seen == ["agent", ""]  # PPID was the agent indeed


def test_without_a_place_for_logs_executions_succeed_and_one_warning_is_given(deployment: Deployment) -> None:
    deployment.add_action("plain.noisy", "echo out; echo err >&2\n")
    deployment.add_action("plain.data", "echo '{\"a\": 1}'\n", output_format="json")
    for _ in range(2):
        done = deployment.run("plain.noisy")
        assert (done.status, done.result["stdout"]) == ("completed", "out\n")
        assert "stderr_log" not in done.result
        assert deployment.run("plain.data").result["data"] == {"a": 1}
        assert deployment.messages(done.id)[-1].payload["status"] == "Completed"
    assert deployment.all("SELECT 1 FROM artifact") == deployment.all("SELECT 1 FROM artifact_version") == []
    warnings = [record["message"] for record in deployment.agent.records(level="warn")]
    assert sum("can't write to artifacts_dir" in warning for warning in warnings) == 1


def test_a_failure_still_tells_its_reason(deployment: Deployment) -> None:
    deployment.add_action("plain.failing", "echo 'disk on fire' >&2; exit 3\n")
    done = deployment.run("plain.failing")
    assert (done.status, done.result["error"]) == ("failed", "disk on fire\n")


def test_parameter_files_and_inline_scripts_find_a_place(deployment: Deployment) -> None:
    deployment.add_action("plain.file", 'cat "$ATTUNE_PARAMETER_FILE"\n', parameter_delivery="file")
    assert deployment.run("plain.file", {"a": 1}).result["stdout"] == '{"a":1}'
    deployment.add_action("plain.inline", None, entrypoint='echo "$a" inline', is_adhoc=True)
    assert deployment.run("plain.inline", {"a": 1}).result["stdout"] == "1 inline\n"


def test_nothing_of_the_agents_settings_is_in_its_log(deployment: Deployment) -> None:
    assert ENCRYPTION_KEY not in deployment.agent.log()
