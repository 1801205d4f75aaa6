"""Servers that break off, lie, refuse a token or are away: what a worker makes of them, over real connections."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.errors import ConfigurationError, EnvironmentFailed, ServerError, ServerUnavailable
from agent.execution.model import Action
from agent.packs.archive import Limits
from agent.settings import NetworkSettings
from agent.transport.address import ServerAddress, server_address
from agent.transport.connection import ServerConnection
from agent.transport.fetched_packs import FetchedPacks
from agent.transport.log_uploads import LogUpload, LogUploads
from agent.transport.pack_versions import PackVersions
from agent.transport.worker_token import WorkerToken, asked_of
from tests.services.scripted_server import Answer, Handler, Script, breaks_off, digest, says
from tests.services.web import serving

ACTION = Action(1, "apart.greet", 1, "apart", "greet.sh")
Served = Callable[..., tuple[ServerAddress, Script]]


@pytest.fixture
def served() -> Iterator[Served]:
    """Start servers that follow a script."""
    with contextlib.ExitStack() as stack:

        def start(*answers: Answer) -> tuple[ServerAddress, Script]:
            script = Script(*answers)
            port = stack.enter_context(serving(script))
            return server_address(f"http://127.0.0.1:{port}", NetworkSettings(), {}), script

        yield start


def goes_on(body: bytes) -> Answer:
    """Send the part that is asked for, as RFC 9110 says."""

    def answer(handler: Handler) -> None:
        begin = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        assert handler.headers["If-Range"] == f'"{digest(body)}"'
        says(206, body[begin:], X_Checksum_Sha256=digest(body), Content_Range=f"bytes {begin}-/{len(body)}")(handler)

    return answer


def archive(*extra: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as opened:
        for name, text in (("apart/pack.yaml", b"ref: apart\n"), ("apart/actions/greet.sh", b"echo\n" * 9000)):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            opened.addfile(info, io.BytesIO(text))
        for info in extra:
            opened.addfile(info)
    return buffer.getvalue()


class Fixed:
    """A token that is always the same."""

    def __call__(self) -> str:
        return "token"

    def refused(self, token: str) -> None:
        pass


def packs(address: ServerAddress, base: Path, *, patience: float = 20.0, largest: int = 1 << 20) -> FetchedPacks:
    return FetchedPacks(
        address, Fixed(), PackVersions(base, Limits(1 << 20, 100, 1 << 20)), largest=largest, patience=patience
    )


def fetch(found: FetchedPacks, stamp: str = "1", *, ended: Callable[[], bool] = lambda: False) -> Path:
    return Path(found.of(ACTION, stamp, ended=ended, progress=lambda line: None))


def nothing_left(base: Path) -> bool:
    return not any((base / ".fetched" / "apart").glob(".new-*"))


def test_a_download_that_breaks_off_goes_on_where_it_was(served: Served, tmp_path: Path) -> None:
    body = archive()
    named = {"X_Checksum_Sha256": digest(body)}
    address, script = served(breaks_off(body, 60, **named), says(503), goes_on(body))
    place = fetch(packs(address, tmp_path))
    assert place.name == digest(body)
    assert (place / "actions" / "greet.sh").is_file()
    assert [headers.get("range") for _, _, headers, _ in script.seen] == [None, "bytes=60-", "bytes=60-"]
    assert nothing_left(tmp_path)


def test_another_digest_than_was_promised_is_an_error_that_names_both(served: Served, tmp_path: Path) -> None:
    body = archive()
    address, _ = served(says(200, body, X_Checksum_Sha256="0" * 64))
    with pytest.raises(EnvironmentFailed) as caught:
        fetch(packs(address, tmp_path))
    assert digest(body) in str(caught.value)
    assert "0" * 64 in str(caught.value)
    assert PackVersions(tmp_path, Limits(1, 1, 1)).digests("apart") == []
    assert nothing_left(tmp_path)


def link() -> tarfile.TarInfo:
    info = tarfile.TarInfo("apart/evil")
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info


def outside() -> tarfile.TarInfo:
    return tarfile.TarInfo("../../evil")


def device() -> tarfile.TarInfo:
    info = tarfile.TarInfo("apart/null")
    info.type = tarfile.CHRTYPE
    return info


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (archive(link()), "is a link or a device"),
        (archive(device()), "is a link or a device"),
        (archive(outside()), "leads out of the pack"),
        (gzip.compress(b"no tar", mtime=0), "can't be read"),
        (b"x" * 100, "can't be read"),
        (b"x" * (2 << 20), "more than 1048576 bytes"),
    ],
)
def test_an_archive_that_holds_what_it_may_not_is_refused(
    served: Served, tmp_path: Path, body: bytes, why: str
) -> None:
    address, _ = served(says(200, body, ETag=f'"{digest(body)}"'))
    with pytest.raises(EnvironmentFailed, match=why):
        fetch(packs(address, tmp_path))
    assert PackVersions(tmp_path, Limits(1, 1, 1)).digests("apart") == []
    assert not (tmp_path / "evil").exists()


def test_what_has_not_changed_is_not_sent_again(served: Served, tmp_path: Path) -> None:
    body = archive()
    address, script = served(says(200, body, ETag=f'"{digest(body)}"'), says(304, ETag=f'"{digest(body)}"'))
    found = packs(address, tmp_path)
    places = {fetch(found), fetch(found), fetch(found, "2"), fetch(packs(address, tmp_path))}
    assert len(places) == 1
    asked = [headers.get("if-none-match") for _, _, headers, _ in script.seen]
    assert asked == [None, f'"{digest(body)}"', f'"{digest(body)}"']


def test_a_server_that_promises_no_digest_is_believed_by_what_it_sent(served: Served, tmp_path: Path) -> None:
    body = archive()
    address, _ = served(says(200, body))
    assert fetch(packs(address, tmp_path)).name == digest(body)


def test_nobody_waits_longer_than_he_may_or_than_he_wants(served: Served, tmp_path: Path) -> None:
    address, _ = served(says(503, b'{"error": "away for now"}'))
    with pytest.raises(EnvironmentFailed, match="away for now"):
        fetch(packs(address, tmp_path, patience=0.3))
    asked = iter((False, False, False))
    with pytest.raises(EnvironmentFailed, match="the end was asked for") as caught:
        fetch(packs(address, tmp_path, patience=600.0), ended=lambda: next(asked, True))
    assert caught.value.cancelled


def test_a_token_that_is_no_longer_taken_is_replaced_once(served: Served) -> None:
    tokens = [says(200, json.dumps({"data": {"token": f"t{number}", "expires_in": 100}}).encode()) for number in (1, 2)]
    address, script = served(tokens[0], says(401), tokens[1], says(204, Upload_Offset="1"), says(401))
    connection = ServerConnection(address, WorkerToken(asked_of(address, "bootstrap", "w")))
    assert connection.request("PATCH", "/x", body=b"1").status == 204
    assert [headers.get("authorization") for method, _, headers, _ in script.seen if method == "PATCH"] == [
        "Bearer t1",
        "Bearer t2",
    ]
    script.answers = [says(401)]
    with pytest.raises(ServerError, match="401") as caught:
        connection.request("PATCH", "/x", body=b"1")
    assert not isinstance(caught.value, ServerUnavailable)
    connection.close()


def test_a_token_is_renewed_before_it_ends_and_kept_while_the_server_is_away() -> None:
    now, given = [0.0], iter(range(1, 9))
    away = False

    def source() -> tuple[str, float]:
        if away:
            raise ServerUnavailable("away")
        return f"t{next(given)}", 100.0

    token = WorkerToken(source, clock=lambda: now[0])
    assert token() == "t1"
    now[0] = 79.0
    assert token() == "t1"
    away = True
    now[0] = 81.0
    assert token() == "t1"
    now[0] = 115.0
    with pytest.raises(ServerUnavailable):
        token()
    away = False
    assert token() == "t2"


def upload(tmp_path: Path, content: bytes) -> tuple[LogUpload, io.FileIO]:
    path = tmp_path / "log"
    path.write_bytes(content)
    file = io.FileIO(path)
    return LogUpload("execution_1/stdout.log", "a/b.txt", file.fileno()), file


def test_a_log_that_another_holds_is_told_apart_and_the_whole_is_tried_at_the_end(
    served: Served, tmp_path: Path
) -> None:
    address, script = served(says(409), says(201))
    uploads = LogUploads(ServerConnection(address, Fixed()), most_waiting=1000)
    one, file = upload(tmp_path, b"x" * 70_000)
    thread = threading.Thread(target=uploads.run)
    thread.start()
    uploads.grown(one, 70_000)
    until_seen(script, 1)
    uploads.end(one, 70_000)
    assert one.done.wait(20)
    assert (one.failure, [method for method, *_ in script.seen]) == (None, ["PATCH", "PUT"])
    assert script.seen[-1][3] == b"x" * 70_000
    uploads.stop()
    thread.join()
    file.close()


def test_a_full_server_is_waited_for(served: Served, tmp_path: Path) -> None:
    address, script = served(says(507), says(507), says(201))
    uploads = LogUploads(ServerConnection(address, Fixed()), most_waiting=2)
    one, file = upload(tmp_path, b"some text")
    uploads.end(one, 9)
    thread = threading.Thread(target=uploads.run)
    thread.start()
    until_seen(script, 1)
    assert one.done.wait(20)
    assert [body for _, _, _, body in script.seen] == [b"some text"] * 3
    assert uploads.waiting == 0
    assert uploads.settled(0.0)
    uploads.stop()
    thread.join()
    file.close()


def until_seen(script: Script, count: int) -> None:
    deadline = time.monotonic() + 20
    while len(script.seen) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("env", "proxied"),
    [
        ({}, False),
        ({"http_proxy": "http://u:p@proxy:3128"}, True),
        ({"HTTP_PROXY": "http://proxy:3128"}, False),  # a header of a request, in a CGI program
        ({"http_proxy": "proxy:3128", "no_proxy": ".inside, other"}, False),
        ({"http_proxy": "proxy:3128", "NO_PROXY": "side"}, True),
        ({"http_proxy": "proxy:3128", "no_proxy": "*"}, False),
    ],
)
def test_a_proxy_of_the_image_is_used_unless_it_is_excluded(env: dict[str, str], proxied: bool) -> None:
    address = server_address("http://attune.inside:8080/base/", NetworkSettings(), env)
    assert (address.proxy is not None) == proxied
    assert address.target("/x") == ("http://attune.inside:8080/base/x" if proxied else "/base/x")


@pytest.mark.parametrize("url", ["attune:8080", "ftp://attune", "http://", "http://a:b", "http://a/?q", "http://a/ä"])
def test_what_is_no_url_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        server_address(url, NetworkSettings(), {})
