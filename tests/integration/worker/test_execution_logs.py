"""Logs while an execution runs and afterwards: rows of artifacts, files, and what actions allocate themselves.

Promise: logs are complete.
"""

from __future__ import annotations

import itertools
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.services.brokers import until
from tests.services.deployment import Deployment

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

_NUMBERS = itertools.count()


def register(deployment: Deployment, script: str, **columns: Any) -> str:
    """Register an action that nobody else uses; return its ref."""
    ref = f"logs.action_{next(_NUMBERS)}"
    deployment.add_action(ref, script, **columns)
    return ref


def versions(deployment: Deployment, execution_id: int) -> dict[str, dict[str, Any]]:
    """The versions that an execution made, by stream."""
    rows = deployment.all(
        "SELECT v.id, v.artifact, v.version, v.content_type, v.size_bytes, v.file_path, v.meta, v.created_by,"
        "       v.content, v.content_json"
        "  FROM artifact_version v WHERE v.execution = %s AND v.created_by = 'worker'",
        [execution_id],
    )
    return {row["meta"]["stream"]: row for row in rows}


def live(deployment: Deployment, execution_id: int, stream: str = "stdout") -> Path:
    """The file that followers of a running execution read."""
    return deployment.artifacts / f"execution_{execution_id}" / f"{stream}.log"


# --- rows ---


def test_each_stream_has_an_artifact_of_its_action(deployment: Deployment) -> None:
    ref = register(deployment, "echo out; echo err >&2\n")
    deployment.run(ref)
    rows = deployment.all(
        "SELECT ref, scope::text, owner, type::text, visibility::text, name, content_type, size_bytes, data,"
        "       retention_policy::text, retention_limit, description IS NOT NULL AS described"
        "  FROM artifact WHERE owner = %s ORDER BY ref",
        [ref],
    )
    expected = {
        "scope": "action",
        "owner": ref,
        "type": "file_text",
        "visibility": "private",
        "content_type": "text/plain",
        "size_bytes": 4,
        "data": None,
        "retention_policy": "days",
        "retention_limit": 7,
        "described": True,
    }
    streams = ("stderr", "stdout")
    assert rows == [expected | {"ref": f"{ref}.{stream}.log", "name": f"{ref} {stream}"} for stream in streams]


def test_each_execution_has_a_version_of_it(deployment: Deployment) -> None:
    ref = register(deployment, "echo 'ünï'\n")
    done = deployment.run(ref)
    (stream, row), *others = versions(deployment, done.id).items()
    artifact = deployment.one("SELECT id FROM artifact WHERE ref = %s", [f"{ref}.stdout.log"])["id"]
    assert (stream, others) == ("stdout", [])
    del row["id"]
    assert row == {
        "artifact": artifact,
        "version": 1,
        "content_type": "text/plain",
        "size_bytes": 6,
        "file_path": ref.replace(".", "/") + "/stdout/log/v1.txt",
        "meta": {"stream": "stdout", "execution_id": done.id},
        "created_by": "worker",
        "content": None,
        "content_json": None,
    }
    assert (deployment.artifacts / row["file_path"]).read_text() == "ünï\n"


def test_the_second_execution_gets_the_second_version(deployment: Deployment) -> None:
    ref = register(deployment, "cat\n")
    first, second = deployment.run(ref, {"n": 1}), deployment.run(ref, {"n": 2})
    assert [versions(deployment, done.id)["stdout"]["version"] for done in (first, second)] == [1, 2]
    folder = deployment.artifacts / ref.replace(".", "/") / "stdout" / "log"
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"v1.txt": '{"n":1}\n', "v2.txt": '{"n":2}\n'}
    assert len(deployment.all("SELECT 1 FROM artifact WHERE owner = %s", [ref])) == 1


def test_first_executions_side_by_side_share_one_artifact(deployment: Deployment) -> None:
    ref = register(deployment, "sleep 0.2; cat\n")
    ids = [deployment.start(ref, {"n": number}) for number in range(8)]
    for id_ in ids:
        deployment.wait(id_)
    assert len(deployment.all("SELECT 1 FROM artifact WHERE ref = %s", [f"{ref}.stdout.log"])) == 1
    rows = [versions(deployment, id_)["stdout"] for id_ in ids]
    assert sorted(row["version"] for row in rows) == list(range(1, 9))
    texts = [(deployment.artifacts / row["file_path"]).read_text() for row in rows]
    assert texts == [f'{{"n":{number}}}\n' for number in range(8)]


def test_streams_without_output_leave_nothing(deployment: Deployment) -> None:
    ref = register(deployment, ":\n")
    done = deployment.run(ref)
    assert versions(deployment, done.id) == {}
    assert deployment.all("SELECT 1 FROM artifact WHERE owner = %s", [ref]) == []
    assert not live(deployment, done.id).parent.exists()


def test_the_retention_of_the_action_wins_and_follows_its_changes(deployment: Deployment) -> None:
    ref = register(deployment, "echo out\n", log_retention_policy="hours", log_retention_limit=5)
    query = "SELECT retention_policy::text AS policy, retention_limit AS amount FROM artifact WHERE owner = %s"
    deployment.run(ref)
    assert deployment.one(query, [ref]) == {"policy": "hours", "amount": 5}
    deployment.database.execute("UPDATE action SET log_retention_limit = 9 WHERE ref = %s", [ref])
    deployment.run(ref)
    assert deployment.one(query, [ref]) == {"policy": "hours", "amount": 9}


def test_retention_by_number_keeps_the_newest(deployment: Deployment) -> None:
    ref = register(deployment, "echo out\n", log_retention_policy="versions", log_retention_limit=2)
    done = [deployment.run(ref) for _ in range(4)]
    kept = [row["version"] for one in done for row in versions(deployment, one.id).values()]
    assert kept == [3, 4]


@pytest.mark.parametrize("script", ["echo out; exit 1\n", "echo out; kill -KILL $$\n", "echo out; sleep 30\n"])
def test_what_fails_leaves_its_log_too(deployment: Deployment, script: str) -> None:
    done = deployment.run(register(deployment, script, timeout_seconds=1))
    assert done.status == "failed"
    row = versions(deployment, done.id)["stdout"]
    assert (deployment.artifacts / row["file_path"]).read_text() == "out\n"


# --- files ---


def test_what_is_written_late_is_in_the_log(deployment: Deployment) -> None:
    script = "for i in 1 2 3 4; do echo line $i; sleep 0.1; done; printf end\n"
    done = deployment.run(register(deployment, script))
    row = versions(deployment, done.id)["stdout"]
    text = (deployment.artifacts / row["file_path"]).read_text()
    assert text == "line 1\nline 2\nline 3\nline 4\nend"
    assert row["size_bytes"] == len(text)


def test_a_running_execution_can_be_followed(deployment: Deployment) -> None:
    gate = deployment.directory / "gate"
    ref = register(deployment, f"echo first; until [ -e {gate} ]; do sleep 0.02; done; echo second\n")
    execution_id = deployment.start(ref)
    path = live(deployment, execution_id)
    until(lambda: path.exists() and path.read_text() == "first\n")
    assert deployment.execution(execution_id).status == "running"
    with path.open() as follower:
        assert follower.read() == "first\n"
        gate.touch()
        deployment.wait(execution_id)
        assert follower.read() == "second\n"
    final = deployment.artifacts / versions(deployment, execution_id)["stdout"]["file_path"]
    until(path.is_symlink)  # it follows the commit
    assert path.resolve() == final.resolve()
    assert not os.path.isabs(os.readlink(path))


def test_files_belong_to_the_group_of_the_shared_volume(deployment: Deployment) -> None:
    done = deployment.run(register(deployment, "echo '{}'\n", output_format="json"))
    until(live(deployment, done.id).is_symlink)  # it follows the commit
    final = live(deployment, done.id).resolve()
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (final, final.parent, final.parent.parent)}
    assert modes == {final: 0o664, final.parent: 0o2775, final.parent.parent: 0o2775}
    assert stat.S_IMODE(live(deployment, done.id).parent.stat().st_mode) == 0o2775
    assert stat.S_IMODE((live(deployment, done.id).parent / "result.json").stat().st_mode) == 0o664


def test_one_link_planted_by_a_job_cannot_redirect_the_log_of_another(deployment: Deployment) -> None:
    ref = register(deployment, "echo mine\n")
    execution_id = deployment.schedule(ref)
    target = deployment.directory / "precious"
    target.write_text("precious\n")
    live(deployment, execution_id).parent.mkdir(parents=True)
    live(deployment, execution_id).symlink_to(target)
    deployment.dispatch(execution_id)
    assert deployment.wait(execution_id).status == "completed"
    assert target.read_text() == "precious\n"


# --- files that an action allocates through the API ---


def allocate(deployment: Deployment, execution_id: int, name: str, version: int = 1) -> tuple[int, int]:
    """Allocate a version of a file artifact as the API does for an action; return the ids of artifact and version."""
    rows = deployment.all("SELECT id FROM artifact WHERE ref = %s", [name])
    artifact = (
        rows[0]["id"]
        if rows
        else deployment.insert(
            "artifact",
            {"ref": name, "type": "file_binary", "scope": "action", "owner": "logs.x", "retention_limit": 5},
        )
    )
    columns = {"artifact": artifact, "version": version, "execution": execution_id, "created_by": "jo"}
    return artifact, deployment.insert("artifact_version", columns | {"file_path": f"{name}/v{version}.bin"})


def test_the_sizes_of_allocated_files_are_written_when_the_execution_ends(deployment: Deployment) -> None:
    gate = deployment.directory / "allocated"
    execution_id = deployment.start(register(deployment, f"until [ -e {gate} ]; do sleep 0.02; done; exit 1\n"))
    filled, first = allocate(deployment, execution_id, "filled")
    _, second = allocate(deployment, execution_id, "filled", 2)
    empty, third = allocate(deployment, execution_id, "empty")
    _, missing = allocate(deployment, execution_id, "missing")
    for path, content in (("filled/v1.bin", b"12345"), ("filled/v2.bin", b"123"), ("empty/v1.bin", b"")):
        file = deployment.artifacts / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    gate.touch()
    deployment.wait(execution_id)
    rows = deployment.all(
        "SELECT id, size_bytes FROM artifact_version WHERE execution = %s ORDER BY id", [execution_id]
    )
    assert rows == [{"id": first, "size_bytes": 5}, {"id": second, "size_bytes": 3}]
    assert {third, missing}.isdisjoint(row["id"] for row in rows)
    assert deployment.one("SELECT size_bytes FROM artifact WHERE id = %s", [filled])["size_bytes"] == 3
    assert not (deployment.artifacts / "empty/v1.bin").exists()
    # Who hears of the end finds the sizes: one transaction wrote both.
    written = deployment.one("SELECT xmin::text FROM artifact_version WHERE id = %s", [second])
    assert written == deployment.one("SELECT xmin::text FROM execution WHERE id = %s", [execution_id])
    assert deployment.one("SELECT count(*) AS count FROM artifact WHERE id = %s", [empty])["count"] == 1


def test_a_version_with_its_content_in_the_database_is_left_alone(deployment: Deployment) -> None:
    gate = deployment.directory / "inline-content"
    execution_id = deployment.start(register(deployment, f"until [ -e {gate} ]; do sleep 0.02; done\n"))
    artifact = deployment.insert("artifact", {"ref": "inline", "type": "other", "scope": "action", "owner": "logs.x"})
    columns = {"artifact": artifact, "version": 1, "execution": execution_id, "content_json": {"a": 1}}
    version = deployment.insert("artifact_version", columns | {"created_by": "jo"})
    gate.touch()
    deployment.wait(execution_id)
    assert deployment.one("SELECT content_json FROM artifact_version WHERE id = %s", [version])
