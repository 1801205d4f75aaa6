"""The one-file agent by download: the routes, and the script that fetches it where there is no init container."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import httpx
import pytest

from agent import __version__
from tests.integration.server.conftest import Site
from tests.services.server import ServerProcess
from tests.services.waiting import until
from tests.services.web import serving

pytestmark = [pytest.mark.postgres]

SCRIPT = Path(__file__).parents[3] / "deploy" / "download" / "attune-agent.sh"
TOKEN = "bootstrap-0123456789"
HERE = {"x86_64": "x86_64", "aarch64": "aarch64"}[platform.machine()]
AGENT = b'#!/bin/sh\necho "an agent with $*, token ${ATTUNE_AGENT_TOKEN:-none}"\n#' + b"x" * 3_000_000 + b"\n"


@pytest.fixture(scope="module")
def binaries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("binaries")
    (directory / f"attune-agent-{HERE}").write_bytes(AGENT)
    return directory


@pytest.fixture(scope="module")
def server(site: Site, binaries: Path) -> Iterator[ServerProcess]:
    settings = {"ATTUNE__AGENT__BOOTSTRAP_TOKEN": TOKEN, "ATTUNE__AGENT__BINARY_DIR": str(binaries)}
    made = site.another_server(**settings)
    yield made
    made.stop()
    site.servers.remove(made)


def get(url: str, **headers: str) -> httpx.Response:
    return httpx.get(url, headers=headers, timeout=30, trust_env=False)


def download(server: ServerProcess, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return get(f"{server.url}/api/v1/agent/binary?arch={HERE}", **{"X-Agent-Token": TOKEN, **named})


def test_the_agent_is_sent_whole_with_its_digest(server: ServerProcess) -> None:
    answer = download(server)
    assert (answer.status_code, answer.content) == (200, AGENT)
    digest = hashlib.sha256(AGENT).hexdigest()
    assert answer.headers["ETag"] == f'"{digest}"'
    assert answer.headers["X-Checksum-Sha256"] == digest
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="attune-agent"'
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
    head = httpx.head(f"{server.url}/api/v1/agent/binary?arch={HERE}", headers={"X-Agent-Token": TOKEN})
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(AGENT))


def test_who_has_it_is_not_sent_it_again_and_parts_can_be_asked_for(server: ServerProcess) -> None:
    etag = download(server).headers["ETag"]
    assert download(server, If_None_Match=f'"other", W/{etag}').status_code == 304
    assert download(server, If_None_Match='"other"').status_code == 200
    part = download(server, Range="bytes=10-19", If_Range=etag)
    assert (part.status_code, part.content) == (206, AGENT[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(AGENT)}"
    assert download(server, Range="bytes=10-19", If_Range='"other"').content == AGENT
    assert download(server, Range=f"bytes={len(AGENT)}-").status_code == 416


@pytest.mark.parametrize(
    ("query", "token", "status", "error"),
    [
        ("", None, 401, "Token required"),
        ("", "wrong", 401, "Invalid token"),
        ("?arch=sparc", TOKEN, 400, "Invalid architecture"),
        ("?arch=sparc", "wrong", 401, "Invalid token"),
        ("?arch=aarch64" if HERE == "x86_64" else "?arch=x86_64", TOKEN, 404, "Not found"),
        (f"?token={TOKEN}", None, 401, "Token required"),
    ],
)
def test_a_refusal_says_why(server: ServerProcess, query: str, token: str | None, status: int, error: str) -> None:
    headers = {} if token is None else {"X-Agent-Token": token}
    answer = get(f"{server.url}/api/v1/agent/binary{query}", **headers)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.json()["message"]


def test_the_names_of_other_tools_are_understood(server: ServerProcess) -> None:
    other = {"x86_64": "amd64", "aarch64": "arm64"}[HERE]
    assert get(f"{server.url}/api/v1/agent/binary?arch={other}", **{"X-Agent-Token": TOKEN}).content == AGENT


def test_what_there_is_is_told_to_anybody(server: ServerProcess) -> None:
    found = get(f"{server.url}/api/v1/agent/info").json()
    assert found["version"] == __version__
    (here,) = [one for one in found["architectures"] if one["arch"] == HERE]
    digest = hashlib.sha256(AGENT).hexdigest()
    assert here == {"arch": HERE, "size_bytes": len(AGENT), "available": True, "sha256": digest}
    (other,) = [one for one in found["architectures"] if one["arch"] != HERE]
    assert other["available"] is False


def test_without_a_token_on_the_server_nothing_is_handed_out(site: Site) -> None:
    for path, error in (("binary", "Agent downloads disabled"), ("info", "Not configured")):
        answer = site.admin.get(f"/api/v1/agent/{path}")
        assert (answer.status_code, answer.json()["error"]) == (503, error)


def test_what_is_no_regular_file_is_not_found(server: ServerProcess, binaries: Path) -> None:
    other = binaries / ("attune-agent-aarch64" if HERE == "x86_64" else "attune-agent-x86_64")
    os.mkfifo(other)
    try:
        arch = other.name.rpartition("-")[2]
        answer = get(f"{server.url}/api/v1/agent/binary?arch={arch}", **{"X-Agent-Token": TOKEN})
    finally:
        other.unlink()
    assert answer.status_code == 404


def test_nobody_leaves_a_file_open(server: ServerProcess) -> None:
    def open_files() -> int:
        return len(os.listdir(f"/proc/{server.process.pid}/fd"))

    download(server)
    before = open_files()
    for _ in range(5):
        with httpx.stream(
            "GET", f"{server.url}/api/v1/agent/binary?arch={HERE}", headers={"X-Agent-Token": TOKEN}
        ) as answer:
            next(answer.iter_raw(1024))  # and away
        download(server, If_None_Match="*")
    until(lambda: open_files() <= before, "closing what nobody reads any more")


#: What is in an image beside the tools that fetch: their names here.
TOOLS = ("uname", "cat", "mkdir", "chmod", "mv", "rm", "sleep")


@pytest.fixture(params=["curl", "wget", "busybox", "python3"])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A directory that is all of PATH: a shell, a few tools and one program that can fetch."""
    directory = tmp_path / "bin"
    directory.mkdir()
    busybox = shutil.which("busybox")
    assert busybox is not None
    (directory / "sh").symlink_to(busybox if request.param == "busybox" else "/bin/dash")
    for name in TOOLS:
        (directory / name).symlink_to(busybox)
    if request.param in ("curl", "wget", "busybox"):
        (directory / "sha256sum").symlink_to(busybox)
    if request.param == "busybox":
        (directory / "wget").symlink_to(busybox)
    else:
        program = sys.executable if request.param == "python3" else shutil.which(request.param)
        assert program is not None, f"{request.param} is missing"
        (directory / request.param).symlink_to(Path(program).resolve())
    return directory


def start(image: Path, url: str, file: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": str(image),
        "ATTUNE_AGENT_URL": url,
        "ATTUNE_AGENT_TOKEN": TOKEN,
        "ATTUNE_AGENT_FILE": str(file),
        "ATTUNE_AGENT_PATIENCE": "0",
        **variables,
    }
    command = [str(image / "sh"), str(SCRIPT), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_script_becomes_the_agent_that_it_fetched(server: ServerProcess, image: Path, tmp_path: Path) -> None:
    file = tmp_path / "volume" / "attune-agent"
    done = start(image, server.url, file, "--name", "x")
    assert done.stdout == "an agent with --name x, token none\n", done.stderr
    assert "fetched the agent" in done.stderr
    assert sorted(path.name for path in file.parent.iterdir()) == ["attune-agent", "attune-agent.sha256"]
    again = start(image, server.url + "/", file)
    assert (again.returncode, again.stderr) == (0, "")


def test_a_good_copy_serves_while_the_server_is_away(server: ServerProcess, image: Path, tmp_path: Path) -> None:
    file = tmp_path / "attune-agent"
    start(image, server.url, file)
    away = start(image, "http://127.0.0.1:9", file)
    assert away.stdout.startswith("an agent"), away.stderr
    assert "using the copy" in away.stderr
    file.write_bytes(AGENT.replace(b"an agent", b"another "))
    spoilt = start(image, "http://127.0.0.1:9", file)
    assert (spoilt.returncode, spoilt.stdout) == (1, "")
    assert start(image, server.url, file).stdout.startswith("an agent")


class Spoiling(http.server.BaseHTTPRequestHandler):
    """Says one digest and sends other bytes, or fewer than it says."""

    def do_GET(self) -> None:
        body, length = b"#!/bin/sh\necho planted\n", 24
        if self.path.endswith("/info"):
            entry = {"arch": HERE, "size_bytes": 24, "available": True, "sha256": hashlib.sha256(AGENT).hexdigest()}
            body = json.dumps({"architectures": [entry], "version": "1"}, separators=(",", ":")).encode()
            length = len(body)
        elif self.server.server_port % 2:
            length = 50
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def test_what_has_another_digest_is_never_started(image: Path, tmp_path: Path) -> None:
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Spoiling)) as port:
        done = start(image, f"http://127.0.0.1:{port}", tmp_path / "volume" / "attune-agent")
    assert (done.returncode, done.stdout) == (1, "")
    assert not list((tmp_path / "volume").iterdir())


class WithoutDigests(http.server.BaseHTTPRequestHandler):
    """Says version and size only, as Attune's Rust API does; ``broken``: sends less than it says."""

    version, agent, broken = "0.1.0", AGENT, False
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path.partition("?")[0].rpartition("/")[2])
        body = self.agent[:-1] if self.broken else self.agent
        if self.path.endswith("/info"):
            entry = {"arch": HERE, "size_bytes": len(self.agent), "available": True}
            body = json.dumps({"architectures": [entry], "version": self.version}, separators=(",", ":")).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def test_a_server_that_tells_no_digest_is_believed_by_version_and_size(image: Path, tmp_path: Path) -> None:
    (image / "wc").symlink_to(str(shutil.which("busybox")))
    file = tmp_path / "attune-agent"
    handler = type("Handler", (WithoutDigests,), {"asked": []})
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)) as port:
        url = f"http://127.0.0.1:{port}"
        assert start(image, url, file).stdout.startswith("an agent")
        assert start(image, url, file).stdout.startswith("an agent")
        assert handler.asked == ["info", "binary", "info"]
        handler.version = "0.2.0"
        assert start(image, url, file).stdout.startswith("an agent")
        assert handler.asked[-1] == "binary"
        file.unlink()
        handler.broken = True
        done = start(image, url, file)
        assert (done.returncode, done.stdout) == (1, "")
        assert "bytes instead of" in done.stderr
        assert not file.exists()


def test_a_wrong_token_gets_nothing_and_says_so(server: ServerProcess, image: Path, tmp_path: Path) -> None:
    done = start(image, server.url, tmp_path / "attune-agent", ATTUNE_AGENT_TOKEN="wrong")
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        "401" in done.stderr
        or "Unauthorized" in done.stderr
        or "Authentication" in done.stderr
        or "exit code 6" in done.stderr
    )


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"ATTUNE_AGENT_URL": ""}, "ATTUNE_AGENT_URL is not set"),
        ({"ATTUNE_AGENT_TOKEN": ""}, "ATTUNE_AGENT_TOKEN is not set"),
        ({"ATTUNE_AGENT_TOKEN": "", "ATTUNE_AGENT_TOKEN_FILE": "/no/such"}, "can't read /no/such"),
        ({"ATTUNE_AGENT_FILE": "/proc/attune-agent"}, "/proc is not writable"),
    ],
)
def test_what_is_missing_is_named(image: Path, tmp_path: Path, variables: dict[str, str], words: str) -> None:
    done = start(image, "http://127.0.0.1:9", tmp_path / "attune-agent", **variables)
    assert done.returncode == 1
    assert words in done.stderr
