"""Versions of artifacts that people and actions add: uploaded, written as documents, allocated; and followed."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.access.tokens import Claims, mint
from tests.integration.server.conftest import Site, close_site, open_site
from tests.services.deployment import JWT_SECRET, running_deployment
from tests.services.events import events
from tests.services.server import ApiClient
from tests.services.small_disk import mounted
from tests.services.waiting import until

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A server that places nothing, and takes files of a megabyte."""
    with running_deployment(request, "database") as deployment:
        opened = open_site(deployment, "--only", "api", ATTUNE__ARTIFACTS__MAX_UPLOAD_SIZE=str(1 << 20))
        try:
            yield opened
        finally:
            close_site(opened)


def artifact(client: ApiClient, ref: str, **columns: Any) -> int:
    body = {"ref": ref, "type": "file_text", "scope": "pack", "owner": "core"} | columns
    return int(client.ok("POST", "/api/v1/artifacts", body)["id"])


def upload(client: ApiClient, at: int | str, content: bytes, file_name: str = "a.txt", **fields: str) -> httpx.Response:
    place = f"{at}" if isinstance(at, int) else f"ref/{at}"
    files = {"file": (file_name, content)}
    return client.request("POST", f"/api/v1/artifacts/{place}/versions/upload", files=files, data=fields)


def action(site: Site, ref: str = "core.echo", *, sets: tuple[str, ...] = ("standard",), **columns: Any) -> ApiClient:
    """A client with the token that an action gets, of an execution that runs."""
    values = {"action_ref": ref, "status": "running"} | columns
    execution = site.deployment.insert("execution", values)
    facts = {
        "execution_id": execution,
        "action_ref": ref,
        "permission_set_refs": list(sets),
        "standard_access_action_refs": [ref],
        "standard_access_pack_refs": [ref.partition(".")[0]],
    }
    claims = Claims("1", f"execution:{execution}", "execution", time.time() + 600, metadata=facts)
    return site.admin.as_(mint(claims, secret=JWT_SECRET, now=time.time()))


def test_a_file_becomes_the_next_version_and_comes_back_as_it_was(site: Site) -> None:
    one = artifact(site.admin, "core.report")
    first = upload(site.admin, one, b"first", "report.csv", meta='{"rows": 1}')
    assert first.status_code == 201, first.text
    made = first.json()["data"]
    assert (made["version"], made["size_bytes"], made["content_type"]) == (1, 5, "text/csv")
    assert (made["file_path"], made["meta"], made["created_by"]) == ("core/report/v1.csv", {"rows": 1}, "admin")
    assert first.headers["location"] == f"/api/v1/artifacts/{one}/versions/1"
    second = upload(site.admin, one, b"second", "../../etc/passwd", content_type="text/plain").json()["data"]
    assert (second["version"], second["file_path"]) == (2, "core/report/v2.txt")
    answer = site.admin.get(f"/api/v1/artifacts/{one}/download")
    assert (answer.content, answer.headers["x-checksum-sha256"]) == (b"second", hashlib.sha256(b"second").hexdigest())
    assert site.admin.get(f"/api/v1/artifacts/{one}/versions/1/download").content == b"first"
    shown = site.admin.ok("GET", f"/api/v1/artifacts/{one}")
    assert (shown["size_bytes"], shown["content_type"]) == (6, "text/plain")
    assert sorted(path.name for path in (site.deployment.artifacts / "core/report").iterdir()) == ["v1.csv", "v2.txt"]


def test_a_document_becomes_a_version(site: Site) -> None:
    one = artifact(site.admin, "core.document", type="other")
    body = {"content": {"é": [1, None]}, "meta": {"a": 1}}
    made = site.admin.ok("POST", f"/api/v1/artifacts/{one}/versions", body)
    assert (made["version"], made["content_type"], made["file_path"]) == (1, "application/json", None)
    answer = site.admin.get(f"/api/v1/artifacts/{one}/download")
    assert answer.json() == {"é": [1, None]}
    assert len(answer.content) == made["size_bytes"]
    assert site.admin.post(f"/api/v1/artifacts/{one}/versions", {}).status_code == 422


def test_an_artifact_that_is_missing_is_made_by_its_first_file(site: Site) -> None:
    fields = {"scope": "pack", "owner": "core", "name": "New", "retention_limit": "2", "visibility": "public"}
    made = [upload(site.admin, "core.by_ref", str(number).encode(), **fields).json()["data"] for number in range(4)]
    assert [one["version"] for one in made] == [1, 2, 3, 4]
    found = site.admin.ok("GET", "/api/v1/artifacts/ref/core.by_ref")
    assert (found["name"], found["visibility"], found["retention_limit"]) == ("New", "public", 2)
    kept = site.admin.ok("GET", f"/api/v1/artifacts/{found['id']}/versions")
    assert [one["version"] for one in kept] == [4, 3], "older ones go by its policy"
    assert upload(site.admin, "core.by_ref2", b"x", scope="nobody").status_code == 422
    assert upload(site.admin, "core.by_ref2", b"x", retention_limit="0").status_code == 422


def test_of_many_who_make_one_artifact_one_does(site: Site) -> None:
    body = {"ref": "core.raced", "type": "file_text", "scope": "pack", "owner": "core"}

    def make(_: int) -> int:
        with httpx.Client(timeout=30.0, trust_env=False) as http:
            return ApiClient(site.server.url, site.admin.token, http).post("/api/v1/artifacts", body).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(make, range(16))) == [201] + [409] * 15


@pytest.mark.parametrize("ref", ["....", "a.." * 20 + "a", "x" * 255])
def test_a_ref_that_no_directory_can_have_is_refused(site: Site, ref: str) -> None:
    answer = upload(site.admin, ref, b"x", scope="pack", owner="core")
    assert answer.status_code == 422, answer.text


def test_two_refs_never_share_a_file(site: Site) -> None:
    paths = set()
    for ref in ("core..shared", "core.shared"):
        one = artifact(site.admin, ref)
        made = upload(site.admin, one, ref.encode()).json()["data"]
        paths.add(made["file_path"])
        assert site.admin.get(f"/api/v1/artifacts/{one}/download").content == ref.encode()
    assert len(paths) == 2
    assert "core/shared/v1.txt" in paths, "it belongs to the ref that says so, whoever came first"
    assert upload(site.admin, "core.shared", b"x").json()["data"]["file_path"] == "core/shared/v2.txt"


@pytest.mark.parametrize(
    ("ref", "scope", "owner"),
    [("core.echo.stdout.log", "action", "core.echo"), ("sensor.core.watch.stderr", "sensor", "core.watch")],
    ids=["action", "sensor"],
)
def test_an_artifact_that_holds_a_log_is_its_writers_only(site: Site, ref: str, scope: str, owner: str) -> None:
    body = {"ref": ref, "type": "file_text"}
    for other in ({"scope": "identity"}, {"scope": "pack", "owner": "core"}, {"scope": scope, "owner": "core.other"}):
        refused = site.admin.post("/api/v1/artifacts", body | other)
        assert (refused.status_code, f"the log of the {scope} {owner}" in refused.text) == (422, True)
    assert upload(site.admin, ref, b"x", scope="pack", owner="core").status_code == 422
    one = artifact(site.admin, ref, scope=scope, owner=owner)
    moved = site.admin.request("PUT", f"/api/v1/artifacts/{one}", json={"scope": "pack", "owner": "core"})
    assert moved.status_code == 422


def test_what_is_too_large_or_no_form_is_refused_and_leaves_nothing(site: Site) -> None:
    one = artifact(site.admin, "core.large")
    assert upload(site.admin, one, b"x" * ((1 << 20) + 1)).status_code == 413
    assert upload(site.admin, one, b"x" * (2 << 20)).status_code == 413
    path = f"/api/v1/artifacts/{one}/versions/upload"
    assert site.admin.request("POST", path, content=b"x").status_code == 415
    for kind in ("multipart/form-data; boundary=" + "x" * 5000, b"multipart/form-data; boundary=\xff"):
        odd = site.admin.request("POST", path, content=b"x", headers={"Content-Type": kind})
        assert odd.status_code == 400
    many = {f"part{number}": (None, "x") for number in range(200)}
    assert "parts" in site.admin.request("POST", path, files=many).json()["error"]
    no_file = site.admin.request("POST", path, files={"other": (None, "text")})
    assert (no_file.status_code, no_file.json()["error"]) == (400, "the form has no file; it goes into the field file")
    assert upload(site.admin, one, b"x", meta="[1]").status_code == 422
    assert upload(site.admin, 987654321, b"x").status_code == 404
    assert site.admin.ok("GET", f"/api/v1/artifacts/{one}/versions") == []
    assert not list((site.deployment.artifacts / "core").glob("large*/*"))


def test_many_at_once_get_different_numbers(site: Site) -> None:
    one = artifact(site.admin, "core.together", retention_limit=50)
    answers: list[httpx.Response] = []
    threads = [
        threading.Thread(target=lambda n=number: answers.append(upload(site.admin, one, b"%d" % n)))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {201}
    assert sorted(answer.json()["data"]["version"] for answer in answers) == list(range(1, 9))
    contents = {site.admin.get(f"/api/v1/artifacts/{one}/versions/{number}/download").content for number in range(1, 9)}
    assert contents == {b"%d" % number for number in range(8)}


# --- who may ---


def test_an_action_adds_to_what_its_pack_owns_and_to_nothing_else(site: Site) -> None:
    client = action(site, artifact_retention_policy="hours", artifact_retention_limit=3)
    made = upload(client, "core.echo.result", b"mine")
    assert made.status_code == 201, made.text
    row = site.admin.ok("GET", "/api/v1/artifacts/ref/core.echo.result")
    assert (row["scope"], row["owner"], row["visibility"]) == ("action", "core.echo", "private")
    assert (row["retention_policy"], row["retention_limit"]) == ("hours", 3), "as the execution says"
    assert made.json()["data"]["created_by"].startswith("execution:")
    assert made.json()["data"]["execution"] is not None
    theirs = artifact(site.admin, "other.thing", owner="other")
    assert upload(client, theirs, b"x").status_code == 404
    assert upload(client, "other.new", b"x", scope="pack", owner="other").status_code == 403
    assert upload(client, "core.new", b"x", scope="pack", owner="").status_code == 403
    assert upload(action(site, sets=()), "core.echo.other", b"x").status_code == 403


def test_a_file_is_allocated_where_the_action_will_write_it(site: Site) -> None:
    client = action(site)
    answer = client.post("/api/v1/artifacts/ref/core.echo.chart/versions/file", {"content_type": "image/png"})
    assert answer.status_code == 201, answer.text
    made = answer.json()["data"]
    assert (made["file_path"], made["size_bytes"]) == ("core/echo/chart/v1.png", None)
    folder = (site.deployment.artifacts / made["file_path"]).parent
    assert folder.is_dir(), "an action on the same volume can write there at once"
    assert client.get(f"/api/v1/artifacts/{made['artifact']}/download").status_code == 404
    again = client.post(f"/api/v1/artifacts/{made['artifact']}/versions/file", {})
    assert again.json()["data"]["version"] == 2


def test_what_is_said_of_an_artifact_is_changed_and_its_owner_by_who_may_make_it_there(site: Site) -> None:
    one = artifact(site.admin, "core.changed", description="old")
    path = f"/api/v1/artifacts/{one}"
    body = {"visibility": "public", "name": {"op": "set", "value": "Name"}, "description": {"op": "clear"}}
    changed = site.admin.ok("PUT", path, body | {"data": {"op": "set", "value": [1]}, "retention_limit": 7})
    assert (changed["visibility"], changed["name"], changed["description"]) == ("public", "Name", None)
    assert (changed["data"], changed["retention_limit"], changed["ref"]) == ([1], 7, "core.changed")
    assert site.admin.request("PUT", path, json={"name": {"op": "set", "value": 5}}).status_code == 422
    grants: list[dict[str, object]] = [
        {"resource": "artifacts", "actions": ["read", "update", "create"], "constraints": {"owner_refs": ["core"]}}
    ]
    _, mine = site.person(site.permission_set(grants))
    assert mine.request("PUT", path, json={"retention_limit": 3}).status_code == 200
    assert mine.request("PUT", path, json={"owner": "other"}).status_code == 403
    _, reader = site.person(site.permission_set([{"resource": "artifacts", "actions": ["read"]}]))
    assert reader.request("PUT", path, json={"retention_limit": 3}).status_code == 403
    moved = site.admin.ok("PUT", path, {"scope": "action", "owner": "core.echo"})
    assert (moved["scope"], moved["owner"]) == ("action", "core.echo")
    assert site.admin.request("PUT", path, json={"owner": ""}).status_code in (403, 422)


# --- followed ---


def test_a_file_is_followed_while_its_execution_writes_it(site: Site) -> None:
    client = action(site, "core.live")
    made = client.post("/api/v1/artifacts/ref/core.live.out/versions/file", {"type": "file_text"}).json()["data"]
    file = site.deployment.artifacts / made["file_path"]
    with events(client, f"/api/v1/artifacts/{made['artifact']}/stream") as viewer:
        file.write_bytes(b"one\n")
        assert viewer.next("content").data == "one\n"
        with file.open("ab") as writer:
            writer.write(b"two\n")
        assert viewer.next("append").data == "two\n"
        site.deployment.database.execute("UPDATE execution SET status = 'completed' WHERE id = %s", [made["execution"]])
        assert viewer.next("done").id == "8"
    with events(site.admin, f"/api/v1/artifacts/{made['artifact']}/stream", Last_Event_ID="4") as viewer:
        assert viewer.text() == "two\n"


def test_what_was_uploaded_is_streamed_to_its_end_and_what_is_no_file_is_not(site: Site) -> None:
    one = artifact(site.admin, "core.streamed")
    upload(site.admin, one, b"all of it")
    with events(site.admin, f"/api/v1/artifacts/{one}/stream") as viewer:
        assert viewer.text() == "all of it"
    other = artifact(site.admin, "core.progress", type="progress")
    assert site.admin.get(f"/api/v1/artifacts/{other}/stream").status_code == 400


# --- faults ---


def left_behind(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*.new"))


def test_a_full_disk_is_said_and_leaves_neither_row_nor_file(site: Site) -> None:
    one = artifact(site.admin, "core.full.disk")
    folder = site.deployment.artifacts / "core/full/disk"
    with mounted(folder, 256 << 10) as disk:
        answer = upload(site.admin, one, b"x" * 600_000)
        assert (answer.status_code, answer.json()["error"]) == (507, "the server's disk is full")
        assert answer.headers["retry-after"] == "5"
        assert list(folder.iterdir()) == []
        assert site.admin.ok("GET", f"/api/v1/artifacts/{one}/versions") == []
        disk.grow(1 << 20)
        assert upload(site.admin, one, b"x" * 600_000).status_code == 201
        assert len(site.admin.get(f"/api/v1/artifacts/{one}/download").content) == 600_000


def test_a_server_that_dies_in_the_middle_of_an_upload_leaves_no_version(site: Site) -> None:
    one = artifact(site.admin, "core.interrupted")
    server = site.another_server("--only", "api")
    sent = threading.Event()

    def slowly() -> Iterator[bytes]:
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.txt"\r\n\r\n'
        yield head + b"x" * 100_000
        sent.set()
        server.process.wait(20)
        yield b"more"

    def send() -> None:
        with pytest.raises(httpx.TransportError):
            httpx.post(
                f"{server.url}/api/v1/artifacts/{one}/versions/upload",
                content=slowly(),
                headers={
                    "Authorization": f"Bearer {site.admin.token}",
                    "Content-Type": "multipart/form-data; boundary=b",
                },
                trust_env=False,
                timeout=30,
            )

    thread = threading.Thread(target=send)
    thread.start()
    assert sent.wait(20)
    server.kill()
    thread.join()
    assert site.admin.ok("GET", f"/api/v1/artifacts/{one}/versions") == []
    assert left_behind(site.deployment.artifacts) == []
    assert upload(site.admin, one, b"again").json()["data"]["version"] == 1


def test_pruning_takes_nothing_of_an_upload_that_is_under_way_nor_from_who_reads(site: Site) -> None:
    from tests.services.gate import held
    from tests.services.server import attune

    one = artifact(site.admin, "core.pruned", retention_policy="minutes", retention_limit=1)
    upload(site.admin, one, b"old")
    site.deployment.database.execute(
        "UPDATE artifact_version SET created = now() - interval '1 hour' WHERE artifact = %s", [one]
    )
    environment = site.environment | {"ATTUNE__RETENTION__ORPHAN_GRACE": "3600"}
    answers: list[httpx.Response] = []
    with events(site.admin, f"/api/v1/artifacts/{one}/stream") as viewer:
        when = "NEW.file_path LIKE 'core/pruned/%'"
        with held(site.deployment, "INSERT ON artifact_version", at="commit", when=when) as gate:
            thread = threading.Thread(target=lambda: answers.append(upload(site.admin, one, b"new")))
            thread.start()
            gate.wait()
            done = attune(environment, "prune", "--json")
            assert done.returncode == 0, done.stderr
            gate.open()
            thread.join()
        assert viewer.text() in ("old", "")
    assert answers[0].status_code == 201
    assert site.admin.get(f"/api/v1/artifacts/{one}/download").content == b"new"
    until(lambda: [v["version"] for v in site.admin.ok("GET", f"/api/v1/artifacts/{one}/versions")] == [2])
