"""The API as clients know it: executions, keys, workers, runtimes, packs, actions."""

from __future__ import annotations

import io
import re
import tarfile
import threading
from typing import Any

import pytest

from agent.server.status_counts import EXACT
from tests.integration.server.conftest import Site

pytestmark = pytest.mark.postgres


def echo(site: Site, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = site.admin.ok("POST", "/api/v1/executions/execute", {"action_ref": "core.echo", **fields})
    return found


def test_an_execution_is_accepted_with_its_place(site: Site) -> None:
    answer = site.admin.post("/api/v1/executions/execute", {"action_ref": "core.echo", "parameters": {"message": "hi"}})
    found = answer.json()["data"]
    assert (answer.status_code, found["status"], found["config"]) == (201, "requested", {"message": "hi"})
    assert answer.headers["location"] == f"/api/v1/executions/{found['id']}"
    assert site.admin.ok("GET", answer.headers["location"])["id"] == found["id"]


def test_a_repeated_request_with_its_key_makes_one_execution(site: Site) -> None:
    body = {"action_ref": "core.echo", "parameters": {"message": "once"}}
    found: list[int] = []

    def send() -> None:
        answer = site.admin.post("/api/v1/executions/execute", body, headers={"Idempotency-Key": "the-same"})
        found.append(answer.json()["data"]["id"])

    threads = [threading.Thread(target=send) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    other = site.admin.post(
        "/api/v1/executions/execute", body | {"parameters": {}}, headers={"Idempotency-Key": "the-same"}
    )
    assert other.status_code == 422


def test_unknown_actions_bad_placements_and_unheld_permissions_are_refused(site: Site) -> None:
    def refused(**fields: Any) -> tuple[int, str]:
        answer = site.admin.post("/api/v1/executions/execute", {"action_ref": "core.echo", **fields})
        return answer.status_code, answer.json()["error"]

    assert refused(action_ref="no.such") == (404, "there is no action no.such")
    assert refused(worker_selector={"a": 1})[0] == 400
    assert refused(worker_affinity={"wanted": []})[0] == 400
    assert refused(worker_tolerations=[{"operator": "exists"}])[0] == 400
    assert refused(permission_set_refs=["no.such"])[0] == 403
    _, client = site.person("core.executor")
    answer = client.post("/api/v1/executions", {"action_ref": "core.echo", "permission_set_refs": ["core.admin"]})
    assert answer.status_code == 403


def test_secret_parameters_are_kept_out_of_what_everybody_reads(site: Site) -> None:
    schema = {"password": {"type": "string", "secret": True}, "host": {"type": "string"}}
    site.deployment.add_action("api.secret", "#!/bin/sh\n", param_schema=schema)
    body = {"action_ref": "api.secret", "parameters": {"password": "canary-1207", "host": "db"}}
    made = site.admin.ok("POST", "/api/v1/executions/execute", body)
    assert made["config"] == {"password": {"$attune_secret": True, "redacted": True}, "host": "db"}
    assert site.admin.get(f"/api/v1/executions/{made['id']}?include_secret_values=true").status_code == 403
    ref = site.permission_set([{"resource": "executions", "actions": ["read", "decrypt"]}])
    login, reader = site.person()
    # Not through the API: nobody gives what he has not himself, and core.admin has not got this.
    site.deployment.database.execute(
        "INSERT INTO permission_assignment (identity, permset)"
        " SELECT i.id, p.id FROM identity i, permission_set p WHERE i.login = %s AND p.ref = %s",
        [login, ref],
    )
    assert (
        reader.ok("GET", f"/api/v1/executions/{made['id']}?include_secret_values=true")["config"] == body["parameters"]
    )
    everything = [str(row) for table in ("execution", "execution_history", "audit_event", "execution_secret_value")
                  for row in site.deployment.all(f"SELECT * FROM {table}")]  # fmt: skip
    assert "canary-1207" not in " ".join(everything) + site.server.log()


def test_executions_are_listed_newest_first_in_pages_and_from_any_place_on(site: Site) -> None:
    ids = [echo(site, parameters={"message": f"{n}"})["id"] for n in range(5)][::-1]
    first = site.admin.get("/api/v1/executions?per_page=2")
    assert [one["id"] for one in first.json()["items"]] == ids[:2]
    assert first.json()["pagination"] == {"page": 1, "page_size": 2, "has_previous": False, "has_next": True}
    link = first.headers["link"].partition(">")[0].removeprefix("<")
    assert [one["id"] for one in site.admin.ok("GET", link)["items"]] == ids[2:4]
    assert [one["id"] for one in site.admin.ok("GET", "/api/v1/executions?per_page=2&page=2")["items"]] == ids[2:4]
    many = site.admin.get("/api/v1/executions?per_page=1000&include_total=true").json()
    assert many["pagination"]["page_size"] == 1000
    assert many["pagination"]["total_items"] >= 5
    assert site.admin.get("/api/v1/executions?page=100000").status_code == 400


def test_counts_are_exact_while_they_are_small_and_estimated_beyond(site: Site) -> None:
    action = site.deployment.one("SELECT id FROM action WHERE ref = 'core.echo'")["id"]
    before = site.admin.ok("GET", "/api/v1/executions/stats")
    site.deployment.insert("execution", {"action": action, "action_ref": "core.echo", "status": "timeout"})
    after = site.admin.ok("GET", "/api/v1/executions/stats")
    assert (after["timeout"], after["total"]) == (before["timeout"] + 1, before["total"] + 1)
    with site.deployment.connect() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "INSERT INTO execution (action, action_ref, status)"
            " SELECT %s, 'core.counted', 'completed' FROM generate_series(1, 15000)", [action],
        )  # fmt: skip
    assert site.admin.ok("GET", "/api/v1/executions/stats")["completed"] > EXACT
    site.deployment.database.execute("ANALYZE execution")
    many = site.admin.ok("GET", "/api/v1/executions/stats")
    assert 14_000 <= many["completed"] <= 16_000
    listed = site.admin.get("/api/v1/executions/status/completed?page_size=1").json()["pagination"]
    assert 14_000 <= listed["total_items"] <= 16_000
    assert site.admin.get("/api/v1/executions/status/timeout").json()["pagination"]["total_items"] == after["timeout"]
    site.deployment.database.execute("DELETE FROM execution WHERE action_ref = 'core.counted'")


@pytest.mark.parametrize(
    ("query", "count"),
    [("action_ref=core.e*o", True), ("action_ref=core.nothing", False), ("action_ref=core_echo", False),
     ("status=requested", True), ("status=failed&action_ref=core.echo", False), ("pack_name=core", True),
     ("result_contains=%25", False), ("top_level_only=true&action_ref=core.echo", True)],
)  # fmt: skip
def test_filters_narrow_the_list(site: Site, query: str, count: bool) -> None:
    echo(site)
    assert bool(site.admin.ok("GET", f"/api/v1/executions?{query}")["items"]) is count


def test_what_an_enforcement_started_is_listed(site: Site) -> None:
    values = {"rule_ref": "core.none", "trigger_ref": "core.none", "payload": {}}
    enforcement = site.deployment.insert("enforcement", values)
    path = f"/api/v1/enforcements/{enforcement}/executions"
    assert site.admin.ok("GET", path)["items"] == []
    row = {"action_ref": "core.echo", "status": "completed", "enforcement": enforcement}
    made = site.deployment.insert("execution", row)
    found = site.admin.ok("GET", path)
    assert [(one["id"], one["rule_ref"]) for one in found["items"]] == [(made, "core.none")]
    assert found["pagination"]["total_items"] == 1


def test_what_waits_is_explained_cancelled_and_told(site: Site) -> None:
    found = echo(site)
    explained = site.admin.ok("GET", f"/api/v1/executions/{found['id']}/explain")
    assert explained["outlook"] == "nobody"
    cancelled = site.admin.ok("POST", f"/api/v1/executions/{found['id']}/cancel")
    assert (cancelled["status"], cancelled["result"]["cause"]) == ("cancelled", "cancelled")
    assert site.admin.post(f"/api/v1/executions/{found['id']}/cancel").status_code == 409
    kinds = [m.kind for m in site.deployment.messages(found["id"])]
    assert kinds == ["ExecutionStatusChanged", "ExecutionCompleted"]
    again = site.admin.ok("POST", f"/api/v1/executions/{found['id']}/retry")
    assert (again["original_execution"], again["status"]) == (found["id"], "requested")
    assert site.admin.post(f"/api/v1/executions/{again['id']}/retry").status_code == 409
    history = site.admin.ok("GET", f"/api/v1/executions/{found['id']}/history")["items"]
    assert [one["operation"] for one in history] == ["UPDATE", "INSERT"]


def test_keys_are_stored_encrypted_and_shown_to_whoever_may(site: Site) -> None:
    body = {"ref": "api.token", "name": "token", "owner_type": "system", "value": {"a": "canary-7"}, "encrypted": True}
    assert site.admin.ok("POST", "/api/v1/keys", body)["value"] == {"a": "canary-7"}
    assert site.admin.post("/api/v1/keys", body).status_code == 409
    assert "canary-7" not in str(site.deployment.all("SELECT * FROM key"))
    assert site.admin.ok("GET", "/api/v1/keys/api.token")["value"] == {"a": "canary-7"}
    _, reader = site.person("core.executor")
    assert reader.ok("GET", "/api/v1/keys/api.token")["value"] is None
    assert "value" not in str(reader.ok("GET", "/api/v1/keys")["items"])
    assert reader.request("DELETE", "/api/v1/keys/api.token").status_code == 403
    assert site.admin.request("PUT", "/api/v1/keys/api.token", json={"encrypted": False}).status_code == 422
    site.admin.ok("PUT", "/api/v1/keys/api.token", {"value": 7})
    assert site.admin.ok("GET", "/api/v1/keys/api.token")["value"] == 7
    unknown = {**body, "ref": "api.other", "owner_type": "pack", "owner_pack_ref": "no_such"}
    assert site.admin.post("/api/v1/keys", unknown).status_code == 404
    site.admin.ok("DELETE", "/api/v1/keys/api.token")
    assert site.admin.get("/api/v1/keys/api.token").status_code == 404


def test_a_workers_state_capabilities_and_drain(site: Site) -> None:
    capabilities = {
        "runtimes": ["shell", "Python3"],
        "runtime_versions": {"python": ["3.11.2"]},
        "detected_interpreters": [{"name": "python", "path": "/usr/bin/python3", "version": "3.11.2"}],
        "max_concurrent_executions": 4,
        "guarded_claim": True,
        "labels": {"zone": "a"},
        "taints": [{"key": "test", "effect": "no_schedule"}],  # what other tests request stays away
    }
    worker = site.deployment.insert(
        "worker",
        {"name": "api-worker", "worker_type": "local", "worker_role": "action", "status": "inactive",
         "capabilities": capabilities},
    )  # fmt: skip
    path = f"/api/v1/workers/{worker}"
    assert site.admin.ok("GET", path)["health_state"] == "offline"
    site.deployment.database.execute(
        "UPDATE worker SET status = 'active', last_heartbeat = now(), cordoned = true WHERE id = %s", [worker]
    )
    one = site.deployment.insert("execution", {"action_ref": "core.echo", "status": "scheduled", "worker": worker})
    shown = site.admin.ok("GET", path)
    assert (shown["status"], shown["health_state"], shown["load"]["scheduled"]) == ("busy", "cordoned", 1)
    assert shown["load"]["utilization_percent"] == 25
    found = site.admin.ok("GET", f"{path}/capabilities")
    assert found["runtimes"] == [
        {"name": "shell", "versions": []},
        {"name": "python", "versions": ["3.11.2"], "path": "/usr/bin/python3"},
    ]
    assert found["labels"] == {"zone": "a"}
    drained = site.admin.ok("POST", f"{path}/drain", {"reason": " night "})
    assert (drained["returned"], drained["drained"]) == (1, True)
    assert site.deployment.execution(one).status in ("requested", "failed")
    assert site.admin.ok("GET", path)["cordon_reason"] == " night ".strip()
    assert site.admin.request("DELETE", path).status_code == 409
    assert site.admin.ok("POST", f"{path}/uncordon")["cordoned"] is False
    site.deployment.database.execute("UPDATE worker SET status = 'inactive' WHERE id = %s", [worker])
    site.admin.ok("DELETE", path)
    assert site.admin.get(path).status_code == 404


def test_versions_are_switched_off_and_made_the_default_and_workers_are_asked(site: Site) -> None:
    listed = site.admin.ok("GET", "/api/v1/runtimes/core.python/versions")
    version = listed[0]["version"]
    path = f"/api/v1/runtimes/core.python/versions/{version}"
    off = site.admin.ok("PATCH", path, {"available": False, "is_default": True})
    assert (off["disabled"], off["is_default"]) == (True, True)
    defaults = [one for one in site.admin.ok("GET", "/api/v1/runtimes/core.python/versions") if one["is_default"]]
    assert [one["version"] for one in defaults] == [version]
    assert site.admin.ok("PATCH", path, {"available": True})["disabled"] is False
    answer = site.admin.post("/api/v1/runtimes/core.python/verify")
    assert answer.status_code == 202
    assert site.admin.get("/api/v1/runtimes/core.python/versions/99").status_code == 404
    _, viewer = site.person("core.viewer")
    assert viewer.request("PATCH", path, json={"available": False}).status_code == 403


def test_runtimes_are_made_changed_and_deleted(site: Site) -> None:
    body = {"ref": "api.tcl", "name": "Tcl", "execution_config": {"interpreter": {"binary": "tclsh"}}}
    assert site.admin.post("/api/v1/runtimes", body).status_code == 201
    assert site.admin.post("/api/v1/runtimes", body).status_code == 409
    changed = site.admin.ok("PUT", "/api/v1/runtimes/api.tcl", {"description": {"op": "set", "value": "a language"}})
    assert changed["description"] == "a language"
    assert site.admin.ok("PUT", "/api/v1/runtimes/api.tcl", {"description": {"op": "clear"}})["description"] is None
    assert site.admin.request("DELETE", "/api/v1/runtimes/core.shell").status_code == 422
    site.admin.ok("DELETE", "/api/v1/runtimes/api.tcl")


def packed(files: dict[str, str]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return made.getvalue()


PACK = {
    "pack.yaml": "ref: uploaded\nlabel: Uploaded\nversion: 1.0.0\n",
    "actions/hi.yaml": "ref: uploaded.hi\nrunner_type: shell\nentry_point: echo hi\n",
}


def upload(site: Site, content: bytes, **fields: str) -> Any:
    return site.admin.request("POST", "/api/v1/packs/upload", files={"pack": ("p.tgz", content)}, data=fields)


def test_a_pack_is_uploaded_replaced_when_forced_and_deleted(site: Site) -> None:
    place = site.deployment.packs / "uploaded"
    first = upload(site, packed(PACK))
    assert first.status_code == 201, first.text
    assert first.json()["data"]["pack"]["ref"] == "uploaded"
    assert (place / "pack.yaml").is_file()
    assert upload(site, packed(PACK)).status_code == 409
    assert (place / "pack.yaml").is_file()
    broken = PACK | {"actions/hi.yaml": "ref: other.hi\n"}
    refused = upload(site, packed(broken), force="true")
    assert refused.status_code == 400
    assert refused.json()["details"]
    assert "uploaded.hi" in (place / "actions/hi.yaml").read_text()
    assert upload(site, packed(PACK), force="true").status_code == 201
    assert upload(site, b"nonsense").status_code == 400
    assert upload(site, packed({"../evil": "x", **PACK})).status_code == 400
    site.admin.ok("DELETE", "/api/v1/packs/uploaded")
    assert not place.exists()
    assert site.admin.get("/api/v1/actions/uploaded.hi").status_code == 404


def test_only_what_lies_below_the_directory_of_packs_is_registered(site: Site) -> None:
    for name, text in PACK.items():
        site.deployment.write("placed", name, text.replace("uploaded", "placed"))
    for path in ("/etc", "..", "../..", "placed/../..", ".", "nothing", "/proc/self/root/etc", "x\u0000y"):
        answer = site.admin.post("/api/v1/packs/register", {"path": path})
        assert answer.status_code == 400, path
    assert site.admin.ok("POST", "/api/v1/packs/register", {"path": "placed"})["ref"] == "placed"
    link = site.deployment.packs / "link"
    link.symlink_to("/etc")
    assert site.admin.post("/api/v1/packs/register", {"path": "link"}).status_code == 400


def test_actions_are_searched_made_changed_and_deleted(site: Site) -> None:
    assert [one["ref"] for one in site.admin.ok("GET", "/api/v1/actions/search?q=EchO")["items"]] == ["core.echo"]
    assert site.admin.ok("GET", "/api/v1/actions/search?q=%25_")["items"] == []
    site.admin.post("/api/v1/packs", {"ref": "adhoc", "label": "Ad hoc"})
    body = {"ref": "adhoc.hi", "pack_ref": "adhoc", "label": "Hi", "entrypoint": "echo hi", "runtime_ref": "core.shell"}
    made = site.admin.ok("POST", "/api/v1/actions", body)
    assert (made["is_adhoc"], made["runtime_ref"]) == (True, "core.shell")
    assert site.admin.post("/api/v1/actions", body | {"ref": "core.hi"}).status_code == 422
    change = {"runtime_version_constraint": {"op": "set", "value": ">=5"}, "max_retries": 2}
    assert site.admin.ok("PUT", "/api/v1/actions/adhoc.hi", change)["max_retries"] == 2
    _, editor = site.person("core.viewer")
    assert editor.request("DELETE", "/api/v1/actions/adhoc.hi").status_code == 403
    site.admin.ok("DELETE", "/api/v1/actions/adhoc.hi")


def test_work_is_counted_by_runtime_whether_or_not_a_worker_is_there_for_it(site: Site) -> None:
    """An autoscaler starts the first worker because of what waits, and stops the last when nothing is left."""
    deployment = site.deployment
    odd = {"ref": "test.odd", "name": 'o"d\\d', "distributions": {}}
    deployment.insert("runtime", odd)
    action = deployment.add_action("test.scaled", runtime="test.odd")

    def counted() -> dict[str, str]:
        text = site.admin.as_(None).get("/metrics").text
        return dict(
            re.findall(r'^attune_(waiting|unfinished)_executions\{runtime="o\\"d\\\\d"\} (\d+)$', text, re.MULTILINE)
        )

    row = {"action": action, "action_ref": "test.scaled", "status": "requested"}
    first, _ = deployment.insert("execution", row), deployment.insert("execution", row)
    assert counted() == {"waiting": "2", "unfinished": "2"}
    deployment.database.execute("UPDATE execution SET status = 'running' WHERE action = %s", [action])
    assert counted() == {"waiting": "0", "unfinished": "2"}
    deployment.database.execute("UPDATE execution SET status = 'completed' WHERE id = %s", [first])
    assert counted() == {"waiting": "0", "unfinished": "1"}
    deployment.database.execute("UPDATE execution SET status = 'completed' WHERE action = %s", [action])
    assert counted() == {}


def test_health_metrics_and_unknown_paths(site: Site) -> None:
    anybody = site.admin.as_(None)
    assert anybody.get("/health").json() == {"status": "ok"}
    assert anybody.get("/health/detailed").json()["database"] == "connected"
    assert anybody.get("/health/ready").status_code == 200
    assert "attune_executions" in anybody.get("/metrics").text
    missing = anybody.get("/api/v1/nothing")
    assert (missing.status_code, missing.content) == (404, b"")
    wrong = anybody.request("DELETE", "/api/v1/executions")
    assert (wrong.status_code, wrong.content) == (405, b"")
    assert anybody.get("/api-spec/openapi.json").json()["openapi"] == "3.1.0"
    headers = anybody.get("/health").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-request-id"]
