"""What is left after a scenario, against what was promised."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from agent.mq import topology
from tests.children.processes import wait_until_gone
from tests.faults.site import ENDED, Site

_SETTLE_SECONDS = 15.0
#: Says that a server shares the directory of artifacts.
SENTINEL = ".attune-api-sentinel"


@dataclass
class Audit:
    """Numbers of executions, and sentences about everything else that is not as it should be."""

    executions: int = 0
    lost: int = 0
    duplicated: int = 0
    stuck: int = 0
    complaints: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.duplicated or self.stuck or self.complaints)


def audit(site: Site) -> Audit:
    """Stop the agents and look at rows, completions, traces, processes, files and queues."""
    found = Audit(executions=len(site.submitted))
    site.wait_ended()
    _let_settle(site)
    for agent in site.agents:
        if agent.running:
            code = agent.stop(60)
            if code != 0:
                found.complaints.append(f"{agent.name} left with {code}")
        if "Traceback" in agent.log():
            found.complaints.append(f"{agent.log_path.name}: {agent.log()[-1500:]}")
    _look_at_executions(site, found)
    _look_at_logs(site, found)
    _look_for_leftovers(site, found)
    return found


def _let_settle(site: Site) -> None:
    """Give agents that run the time to take what the broker delivers again: it may come after the last end."""
    artifacts = site.directory / "artifacts"
    queues = [name for agent in site.agents if agent.running for name in topology.owned_queues(agent.worker_id)]
    deadline = time.monotonic() + _SETTLE_SECONDS
    while queues and time.monotonic() < deadline:
        if not any(map(site.direct.depth, queues)) and not any(artifacts.glob(".attune-spool-*/*")):
            return
        time.sleep(0.05)


def _look_at_executions(site: Site, found: Audit) -> None:
    rows = {
        row[0]: row[1:]
        for row in site.direct.rows("SELECT id, status::text, started_at, result, worker FROM execution")
        if row[0] in set(site.submitted)
    }
    trace = Counter(site.trace())
    completions: dict[int, set[str]] = {}
    for envelope in site.direct.completions():
        execution_id = envelope["payload"]["execution_id"]
        completions.setdefault(execution_id, set()).add(envelope["message_id"])
        status = rows[execution_id][0]
        if envelope["payload"]["status"].lower() != status:
            found.complaints.append(f"{execution_id} is {status}, but {envelope['payload']['status']} was published")
    for execution_id, (status, started_at, result, _) in rows.items():
        ids, starts = completions.get(execution_id, set()), trace[execution_id, "start"]
        elsewhere = execution_id in site.ended_elsewhere
        found.stuck += status not in ENDED
        found.lost += status in ENDED and not ids and not elsewhere
        found.duplicated += starts > 1 or len(ids) > 1
        if starts and started_at is None:
            found.complaints.append(f"{execution_id} ran, but its row was never claimed")
        if status == "completed" and not trace[execution_id, "end"]:
            found.complaints.append(f"{execution_id} is completed, but did not come to its end")
        if elsewhere and (ids or "abandoned_by" not in (result or {})):
            found.complaints.append(f"{execution_id} was ended by a monitor, and then once more")


def _look_at_logs(site: Site, found: Audit) -> None:
    twice = site.direct.rows(
        "SELECT execution, meta ->> 'stream' FROM artifact_version WHERE created_by = 'worker'"
        " GROUP BY 1, 2 HAVING count(*) > 1"
    )
    found.duplicated += len(twice)
    artifacts = site.directory / "artifacts"
    known = {
        str(artifacts / path): size
        for path, size in site.direct.rows(
            "SELECT file_path, size_bytes FROM artifact_version WHERE file_path IS NOT NULL"
        )
    }
    for path, size in known.items():
        if not Path(path).is_file() or Path(path).stat().st_size != size:
            found.complaints.append(f"{path} is not what its row says")
    strays = [path for path in _files(artifacts) if str(path) not in known and path.name != SENTINEL]
    found.complaints += [f"stray file {path}{_told_of(site, path)}" for path in strays]


def _told_of(site: Site, path: Path) -> str:
    """What the row says of the execution in whose directory a file lies, to find out why it is there."""
    number = path.parent.name.removeprefix("execution_")
    if not number.isdigit():
        return ""
    rows = site.direct.rows(
        "SELECT status::text, started_at, updated, result FROM execution WHERE id = %s", int(number)
    )
    found = path.stat()
    return f", {found.st_size} bytes, {found.st_nlink} names: {rows[0] if rows else 'no such execution'}"


def _files(directory: Path) -> list[Path]:
    """All regular files; a live log is a link to its final place."""
    return [path for path in directory.rglob("*") if path.is_file() and not path.is_symlink()]


def _look_for_leftovers(site: Site, found: Audit) -> None:
    mark = f"ATTUNE_ARTIFACTS_DIR={site.directory / 'artifacts'}".encode()

    def belongs(pid: str, _group: str) -> bool:
        try:
            return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False

    found.complaints += [f"process {pid} was left behind" for pid in wait_until_gone(belongs)]
    for worker_id in sorted({agent.worker_id for agent in site.agents if agent.worker_id}):
        for queue in topology.owned_queues(worker_id):
            if depth := site.direct.depth(queue):
                found.complaints.append(f"{depth} messages were left in {queue}")
