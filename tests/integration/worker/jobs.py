"""Jobs whose length a test decides, and which leave a trace each time they are started."""

from __future__ import annotations

import os
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from tests.services.deployment import Deployment, Execution
from tests.services.proxy import until
from tests.services.wire import Message

#: Detection is not what these tests are about.
ONLY_SHELL: dict[str, Any] = {"ATTUNE_WORKER_RUNTIMES": "shell"}

_TRACE = "#!/bin/sh\necho $$ >> {traces}/started.$ATTUNE_EXEC_ID\n"
_WAIT = "while [ ! -e {traces}/release.$ATTUNE_EXEC_ID ] && [ ! -e {traces}/release.all ]; do sleep 0.03; done\n"


class Jobs:
    """The pack ``job``: ``quick`` ends at once, ``gate`` when it is released, ``stubborn`` ignores SIGTERM."""

    QUICK, GATE, STUBBORN = "job.quick", "job.gate", "job.stubborn"

    def __init__(self, deployment: Deployment) -> None:
        """Register the actions."""
        self.deployment = deployment
        self.traces = deployment.directory / "traces"
        self.traces.mkdir()
        self.traces.chmod(0o777)
        for action, body in (
            (self.QUICK, _TRACE + "echo quick\n"),
            (self.GATE, _TRACE + _WAIT + "echo released\n: > {traces}/ended.$ATTUNE_EXEC_ID\n"),
            (self.STUBBORN, "#!/bin/sh\ntrap '' TERM\n" + _TRACE.partition("\n")[2] + _WAIT),
        ):
            deployment.add_action(action, body.replace("{traces}", str(self.traces)))

    def starts(self, execution_id: int) -> list[int]:
        """Process ids of all starts of an execution; one more than once is a promise broken."""
        trace = self.traces / f"started.{execution_id}"
        return [int(line) for line in trace.read_text().split()] if trace.exists() else []

    def begin(self, action: str = GATE, **columns: object) -> int:
        """Dispatch a job and wait until its process runs."""
        execution_id = self.deployment.start(action, **columns)
        self.wait_started(execution_id)
        return execution_id

    def wait_started(self, *execution_ids: int) -> None:
        """Wait until the processes of these executions run."""
        until(lambda: all(self.starts(id_) for id_ in execution_ids), f"the start of {execution_ids}")

    def release(self, execution_id: int | None = None) -> None:
        """Let one job end, or all."""
        (self.traces / f"release.{execution_id or 'all'}").touch()

    def ended(self) -> list[Path]:
        """A file for each released job that has come to its last line."""
        return list(self.traces.glob("ended.*"))

    def completions(self, execution_id: int) -> list[Message]:
        """All completions of an execution.

        A job that was run afterwards is announced afterwards, so that nothing can still be on its way.
        """
        barrier = self.deployment.run(self.QUICK)
        self.deployment.messages(barrier.id)
        found = self.deployment.messages(execution_id, until=None)
        return [message for message in found if message.kind == "ExecutionCompleted"]

    def assert_ran_once(self, execution_id: int) -> Execution:
        """Check that an execution was started once, completed, and was announced once."""
        row = self.deployment.wait(execution_id)
        assert row.status == "completed", row
        assert len(self.starts(execution_id)) == 1
        assert [m.payload["status"] for m in self.completions(execution_id)] == ["Completed"]
        return row


def wait_for_beats(deployment: Deployment, count: int) -> None:
    """Wait for so many further heartbeats of the only worker."""
    for _ in range(count):
        before = last_heartbeat(deployment)
        until(partial(_is_later, deployment, before), "a heartbeat")


def last_heartbeat(deployment: Deployment) -> datetime:
    """The last heartbeat of the only worker."""
    at = deployment.one("SELECT last_heartbeat AS at FROM worker")["at"]
    assert isinstance(at, datetime)
    return at


def _is_later(deployment: Deployment, before: datetime) -> bool:
    return last_heartbeat(deployment) > before


def gone(pid: int) -> bool:
    """Whether no such process exists any more, not even as a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
