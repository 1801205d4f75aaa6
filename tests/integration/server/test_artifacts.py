"""Artifacts: who sees which, their versions, and their bytes: whole, in parts, not again, never half."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.access.tokens import Claims, mint
from tests.integration.server.conftest import Site, close_site, open_site
from tests.services.deployment import JWT_SECRET, running_deployment

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A server that places nothing."""
    with running_deployment(request, "database") as deployment:
        opened = open_site(deployment, "--only", "api")
        try:
            yield opened
        finally:
            close_site(opened)


def artifact(site: Site, ref: str, **columns: Any) -> int:
    row = {"scope": "pack", "owner": "core", "type": "file_text", "ref": ref, "retention_limit": 9} | columns
    return site.deployment.insert("artifact", row)


def version(site: Site, owner: int, number: int = 1, **columns: Any) -> int:
    return site.deployment.insert("artifact_version", {"artifact": owner, "version": number} | columns)


def file(site: Site, path: str, content: bytes) -> Path:
    at = site.deployment.artifacts / path
    at.parent.mkdir(parents=True, exist_ok=True)
    at.write_bytes(content)
    return at


def test_an_artifact_is_made_listed_shown_and_deleted_with_its_files(site: Site) -> None:
    body = {"ref": "core.made", "type": "file_text", "scope": "pack", "owner": "core", "name": "Made"}
    made = site.admin.ok("POST", "/api/v1/artifacts", body)
    assert (made["visibility"], made["retention_policy"], made["retention_limit"]) == ("private", "versions", 5)
    assert site.admin.post("/api/v1/artifacts", body).status_code == 409
    assert site.admin.ok("GET", "/api/v1/artifacts/ref/core.made")["id"] == made["id"]
    at = file(site, "core/made/v1.txt", b"x")
    version(site, made["id"], file_path="core/made/v1.txt", size_bytes=1)
    listed = site.admin.get("/api/v1/artifacts?name=made").json()["items"]
    assert [one["ref"] for one in listed] == ["core.made"]
    assert site.admin.ok("GET", f"/api/v1/artifacts/{made['id']}/versions")[0]["version"] == 1
    assert site.admin.ok("DELETE", f"/api/v1/artifacts/{made['id']}")["success"]
    assert not at.exists()
    assert site.admin.get(f"/api/v1/artifacts/{made['id']}").status_code == 404


def test_bytes_come_whole_in_parts_or_not_again(site: Site) -> None:
    one = artifact(site, "core.bytes", content_type="text/html")
    content = os.urandom(300_000)
    file(site, "core/bytes/v1.html", content)
    version(site, one, file_path="core/bytes/v1.html", size_bytes=len(content))
    version(site, one, 2, content=b"in the row")
    path = f"/api/v1/artifacts/{one}/versions/1/download"
    answer = site.admin.get(path)
    digest = hashlib.sha256(content).hexdigest()
    assert (answer.content, answer.headers["etag"], answer.headers["x-checksum-sha256"]) == (
        content,
        f'"{digest}"',
        digest,
    )
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["content-security-policy"]
    part = site.admin.get(path, headers={"Range": "bytes=100-199", "If-Range": f'"{digest}"'})
    assert (part.status_code, part.content) == (206, content[100:200])
    assert site.admin.get(path, headers={"If-None-Match": f'"{digest}"'}).status_code == 304
    assert site.admin.get(path, headers={"Range": "bytes=300000-"}).status_code == 416
    assert site.admin.get(f"/api/v1/artifacts/{one}/download").content == b"in the row"
    assert site.admin.get(f"/api/v1/artifacts/{one}/versions/9/download").status_code == 404


def test_a_file_that_is_not_whole_is_not_served(site: Site) -> None:
    one = artifact(site, "core.half")
    file(site, "core/half/v1.txt", b"half")
    version(site, one, file_path="core/half/v1.txt", size_bytes=8)
    answer = site.admin.get(f"/api/v1/artifacts/{one}/download")
    assert (answer.status_code, answer.json()["error"]) == (409, "its file has 4 of 8 bytes: it is not whole")


@pytest.mark.parametrize(
    "path", ["../outside.txt", "/etc/passwd", "link.txt", "linked/outside.txt", "fifo", "core", "\n", "a" * 5000]
)
def test_no_path_of_a_row_leads_out_of_the_artifacts(site: Site, path: str, tmp_path: Path) -> None:
    root = site.deployment.artifacts
    root.mkdir(exist_ok=True)
    (root.parent / "outside.txt").write_text("secret")
    for name, target in (("link.txt", "../outside.txt"), ("linked", "..")):
        (root / name).unlink(missing_ok=True)
        (root / name).symlink_to(target)
    if not (root / "fifo").exists():
        os.mkfifo(root / "fifo")
    one = artifact(site, "core.hostile")
    version(site, one, file_path=path)
    assert site.admin.get(f"/api/v1/artifacts/{one}/download").status_code == 404
    site.admin.ok("DELETE", f"/api/v1/artifacts/{one}")
    assert (root.parent / "outside.txt").read_text() == "secret"


def test_who_may_not_read_an_artifact_does_not_learn_that_it_is_there(site: Site) -> None:
    _, viewer = site.person(site.permission_set([{"resource": "artifacts", "actions": ["read"]}]))
    login, owner = site.person(site.permission_set([{"resource": "artifacts", "actions": ["read", "delete"]}]))
    _, named = site.person(
        site.permission_set(
            [{"resource": "artifacts", "actions": ["read"], "constraints": {"owner_refs": ["secret_pack"]}}]
        )
    )
    _, nobody = site.person()
    identity = site.deployment.one("SELECT id FROM identity WHERE login = %s", [login])["id"]
    public = artifact(site, "vis.public", owner="secret_pack", visibility="public")
    private = artifact(site, "vis.private", owner="secret_pack")
    own = artifact(site, "vis.own", scope="identity", owner=str(identity))
    for client, statuses in [(viewer, (200, 404, 404)), (owner, (200, 404, 200)), (named, (200, 200, 404)),
                             (nobody, (403, 403, 403))]:  # fmt: skip
        found = tuple(client.get(f"/api/v1/artifacts/{one}").status_code for one in (public, private, own))
        assert found == statuses
        if statuses[0] == 200:
            seen = {one["id"] for one in client.get("/api/v1/artifacts?per_page=100").json()["items"]}
            assert {one for one in (public, private, own) if one in seen} == {
                one for one, status in zip((public, private, own), statuses, strict=True) if status == 200
            }
    assert owner.request("DELETE", f"/api/v1/artifacts/{public}").status_code == 403
    assert owner.request("DELETE", f"/api/v1/artifacts/{own}").status_code == 200


def test_pages_are_cut_after_what_one_may_not_see_was_taken_out(site: Site) -> None:
    _, viewer = site.person(site.permission_set([{"resource": "artifacts", "actions": ["read"]}]))
    for number in range(10):
        artifact(site, f"paged.{number}", owner="paged", visibility="public" if number % 2 else "private")
    refs = []
    for number in (1, 2, 3):
        answer = viewer.get(f"/api/v1/artifacts?owner=paged&per_page=2&page={number}").json()
        refs += [one["ref"] for one in answer["items"]]
        assert answer["pagination"]["has_next"] is (number < 3)
    assert refs == ["paged.9", "paged.7", "paged.5", "paged.3", "paged.1"]


def test_what_an_execution_left_is_listed_for_whoever_may_see_it(site: Site) -> None:
    execution = site.deployment.insert("execution", {"action_ref": "core.none", "status": "completed"})
    one = artifact(site, "core.none.stdout.log", scope="action", owner="core.none")
    version(site, one, execution=execution, file_path="core/none/v1.txt", size_bytes=3)
    listed = site.admin.ok("GET", f"/api/v1/executions/{execution}/artifacts")
    assert [(row["ref"], row["version"], row["size_bytes"]) for row in listed] == [("core.none.stdout.log", 1, 3)]
    assert site.admin.get("/api/v1/executions/987654321/artifacts").status_code == 404
    claims = Claims(
        "1", f"execution:{execution}", "execution", time.time() + 600, metadata={"execution_id": execution + 1}
    )
    other = site.admin.as_(mint(claims, secret=JWT_SECRET, now=time.time()))
    assert other.get(f"/api/v1/executions/{execution}/artifacts").status_code == 403


def test_progress_and_data(site: Site) -> None:
    made = site.admin.ok(
        "POST", "/api/v1/artifacts", {"ref": "core.bar", "type": "progress", "scope": "pack", "owner": "core"}
    )
    assert made["visibility"] == "public"
    path = f"/api/v1/artifacts/{made['id']}"
    for percent in (10, 50):
        site.admin.ok("POST", f"{path}/progress", {"percent": percent, "message": "on"})
    entries = site.admin.ok("GET", path)["data"]
    assert [(entry["percent"], entry["message"]) for entry in entries] == [(10, "on"), (50, "on")]
    assert site.admin.post(f"{path}/progress", {"percent": 101}).status_code == 422
    site.admin.ok("PUT", f"{path}/data", {"data": {"url": "x"}})
    assert site.admin.ok("GET", path)["data"] == {"url": "x"}
    version(site, made["id"], 1, content_json=json.dumps({"a": 1}))
    assert site.admin.get(f"{path}/download").json() == {"a": 1}
    assert site.admin.ok("DELETE", f"{path}/versions/1")["success"]
    assert site.admin.get(f"{path}/versions/latest").status_code == 404
