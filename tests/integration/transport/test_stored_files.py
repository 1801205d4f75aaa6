"""The server's side of uploads: pieces by offset, whole files by one step, and nothing outside the directory."""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import time
import uuid
from pathlib import Path

import httpx
import pytest

from agent.execution.secrets.tokens import worker_token
from tests.integration.transport.conftest import Apart
from tests.services.deployment import JWT_SECRET
from tests.services.server import ApiClient

pytestmark = [pytest.mark.postgres]


@pytest.fixture(scope="module")
def worker(apart: Apart) -> ApiClient:
    token, _ = worker_token("w", secret=JWT_SECRET, now=time.time())
    return apart.site.admin.as_(token)


@pytest.fixture
def path() -> str:
    return f"logs/{uuid.uuid4().hex}/stdout.log"


def send(worker: ApiClient, method: str, path: str, content: bytes = b"", **headers: str | int) -> httpx.Response:
    shown = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    return worker.request(method, f"/api/v1/internal/files/{path}", content=content, headers=shown)


def on_disk(apart: Apart, path: str) -> Path:
    return apart.deployment.artifacts / path


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_pieces_are_taken_once_each_and_in_order(apart: Apart, worker: ApiClient, path: str) -> None:
    assert send(worker, "PATCH", path, b"one ", Upload_Offset=0).headers["Upload-Offset"] == "4"
    assert send(worker, "PATCH", path, b"one ", Upload_Offset=0).headers["Upload-Offset"] == "4"
    refused = send(worker, "PATCH", path, b"three", Upload_Offset=9)
    assert (refused.status_code, refused.headers["Upload-Offset"]) == (409, "4")
    other = send(worker, "PATCH", path, b"ONE ", Upload_Offset=0)
    assert other.status_code == 409
    assert "Upload-Offset" not in other.headers
    assert send(worker, "PATCH", path, b"two", Upload_Offset=4).status_code == 204
    assert send(worker, "PATCH", path, b"!").status_code == 204
    assert on_disk(apart, path).read_bytes() == b"one two!"
    assert send(worker, "GET", path).content == b"one two!"
    assert send(worker, "HEAD", path).headers["Content-Length"] == "8"
    assert send(worker, "GET", path, Range="bytes=4-6").content == b"two"


def test_a_file_that_came_in_pieces_gets_its_name_when_it_is_whole(apart: Apart, worker: ApiClient, path: str) -> None:
    final = path.replace("stdout.log", "v1.txt")
    send(worker, "PATCH", path, b"half", Upload_Offset=0)
    finish = {"Upload_Source": path, "Upload_Alias": path}
    early = send(worker, "PUT", final, Upload_Length=8, X_Checksum_Sha256=digest(b"half a l"), **finish)
    assert early.status_code == 422
    assert not on_disk(apart, final).exists()
    send(worker, "PATCH", path, b" a l", Upload_Offset=4)
    for _ in range(2):  # the second time as after an answer that was lost
        done = send(worker, "PUT", final, Upload_Length=8, X_Checksum_Sha256=digest(b"half a l"), **finish)
        assert done.status_code == 201, done.text
    assert on_disk(apart, final).read_bytes() == b"half a l"
    assert on_disk(apart, path).is_symlink()
    assert on_disk(apart, path).read_bytes() == b"half a l"
    assert sorted(os.listdir(on_disk(apart, final).parent)) == ["stdout.log", "v1.txt"]


def test_a_whole_file_is_there_in_one_step_or_not_at_all(apart: Apart, worker: ApiClient, path: str) -> None:
    assert send(worker, "PUT", path, b"first", X_Checksum_Sha256=digest(b"first")).status_code == 201
    wrong = send(worker, "PUT", path, b"secomd", X_Checksum_Sha256=digest(b"second"))
    assert wrong.status_code == 422
    assert on_disk(apart, path).read_bytes() == b"first"
    assert send(worker, "DELETE", path).status_code == 204
    assert send(worker, "DELETE", path).status_code == 404
    assert send(worker, "HEAD", path).status_code == 404


def test_what_is_no_file_is_not_written_and_nothing_is_left(apart: Apart, worker: ApiClient, path: str) -> None:
    place = on_disk(apart, path)
    place.parent.mkdir(parents=True)
    os.mkfifo(place)
    assert send(worker, "PATCH", path, b"x", Upload_Offset=0).status_code == 409
    folder, final = path.replace("stdout.log", "folder"), path.replace("stdout.log", "v1.txt")
    on_disk(apart, folder).mkdir()
    for alias in (folder, final):
        assert send(worker, "PUT", final, b"x", Upload_Alias=alias).status_code == 409
    assert on_disk(apart, final).read_bytes() == b"x"
    assert sorted(os.listdir(place.parent)) == ["folder", "stdout.log", "v1.txt"]


def test_a_job_that_keeps_a_lock_keeps_no_thread_of_the_server(apart: Apart, worker: ApiClient, path: str) -> None:
    send(worker, "PATCH", path, b"x", Upload_Offset=0)
    with on_disk(apart, path).open("rb") as job:
        fcntl.flock(job, fcntl.LOCK_SH)
        assert send(worker, "PATCH", path, b"y", Upload_Offset=1).status_code == 503
    assert send(worker, "PATCH", path, b"y", Upload_Offset=1).status_code == 204


def test_two_that_write_one_file_never_mix(apart: Apart, worker: ApiClient, path: str) -> None:
    answers: list[tuple[str, int]] = []

    def upload(letter: str) -> None:
        own = worker.as_(worker.token)
        own.http = httpx.Client(timeout=30.0, trust_env=False)
        for number in range(40):
            status = send(own, "PATCH", path, letter.encode() * 1000, Upload_Offset=number * 1000).status_code
            answers.append((letter, status))
            if status == 409:
                break
        own.http.close()

    threads = [threading.Thread(target=upload, args=(letter,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = on_disk(apart, path).read_bytes()
    refused = [letter for letter, status in answers if status == 409]
    assert len(refused) == 1
    assert content == {"a": b"b", "b": b"a"}[refused[0]] * 40_000


@pytest.mark.parametrize(
    "bad",
    [
        "../x",
        "a/../../x",
        "/etc/passwd",
        ".attune-api-sentinel",
        "a/.hidden",
        "a//b",
        "x" * 300,
        "a/" * 20 + "b",
        "a%00b",
    ],
)
def test_what_leads_elsewhere_is_refused(apart: Apart, worker: ApiClient, bad: str) -> None:
    assert send(worker, "PUT", bad.replace("..", "%2e%2e"), b"x").status_code in (400, 404)
    named = send(worker, "PUT", "fine", b"", Upload_Source=bad.replace("%00", "\x01"), Upload_Length=1)
    assert named.status_code == 400


def test_a_link_is_not_followed(apart: Apart, worker: ApiClient, path: str, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("untouched")
    place = on_disk(apart, path)
    place.parent.mkdir(parents=True)
    place.symlink_to(tmp_path / "target")
    assert send(worker, "PATCH", path, b"x").status_code == 409
    assert send(worker, "GET", path).status_code == 409
    place.unlink()
    place.parent.rmdir()
    place.parent.symlink_to(tmp_path)
    assert send(worker, "PUT", path, b"x").status_code in (404, 409)
    assert (tmp_path / "target").read_text() == "untouched"
    assert os.listdir(tmp_path) == ["target"]


def test_nobody_but_a_worker_may_write(apart: Apart, path: str) -> None:
    assert send(apart.site.admin, "PUT", path, b"x").status_code == 403
    assert send(apart.site.admin.as_(None), "PUT", path, b"x").status_code == 401
