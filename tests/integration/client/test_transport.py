"""Requests against a real HTTP server that misbehaves: away, broken off, redirecting, slow to renew."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agent.client.login_file import Login, LoginFile
from agent.client.session import GivenToken, KeptTokens
from agent.client.transport import Transport, path_of
from agent.errors import AccessDenied, AgentError, ApiUnavailable
from tests.services.ports import free_ports


@dataclass
class Server:
    """Answers as ``answers`` say, in turn and then always as the last; ``seen`` is what came."""

    url: str = ""
    answers: list[Any] = field(default_factory=list)
    seen: list[tuple[str, str, str | None]] = field(default_factory=list)
    valid: str = "token-0"
    renewals: int = 0


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def answer(self, status: int, document: Any, **headers: str) -> None:
            body = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", headers.pop("length", str(len(body))))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token = self.headers.get("Authorization")
            with lock:
                state.seen.append((self.command, self.path, token))
                if self.path == "/auth/refresh":
                    state.renewals += 1
                    state.valid = f"token-{state.renewals}"
                    self.answer(200, {"data": {"access_token": state.valid, "refresh_token": f"r-{state.renewals}"}})
                    return
                action = state.answers[0] if len(state.answers) == 1 else state.answers.pop(0)
            action(self)

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - as the library calls them

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    try:
        yield state
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


def ok(handler: Any) -> None:
    handler.answer(200, {"data": "fine"})


def guarded(server: Server) -> Any:
    def check(handler: Any) -> None:
        if handler.headers.get("Authorization") == f"Bearer {server.valid}":
            ok(handler)
        else:
            handler.answer(401, {"error": {"code": 401, "message": "Authentication token expired"}})

    return check


def test_a_server_that_is_not_there_is_said_at_once(server: Server) -> None:
    (port,) = free_ports(1)
    with pytest.raises(ApiUnavailable, match=f"the API at http://127.0.0.1:{port} can't be reached") as error:
        Transport(f"http://127.0.0.1:{port}").ask("GET", "/x")
    assert (error.value.exit_code, error.value.unreached) == (5, True)


def test_what_passes_is_asked_again_and_what_changes_something_is_not(server: Server) -> None:
    def busy(handler: Any) -> None:
        handler.answer(503, {"error": "the database is away; try again"})

    def hangs_up(handler: Any) -> None:
        handler.connection.close()

    def breaks_off(handler: Any) -> None:
        handler.answer(200, b'{"data": ', length="1000")
        handler.connection.close()

    for trouble in (busy, hangs_up, breaks_off):
        server.answers = [trouble, ok]
        assert Transport(server.url).ask("GET", "/x") == "fine"
        server.answers = [trouble, ok]
        with pytest.raises(ApiUnavailable):
            Transport(server.url).ask("POST", "/x", {})
        server.answers = [trouble, ok]
        assert Transport(server.url).ask("POST", "/x", {}, repeatable=True) == "fine"


def test_a_token_follows_no_redirection(server: Server) -> None:
    server.answers = [lambda handler: handler.answer(302, b"", Location=f"{server.url}/elsewhere")]
    with pytest.raises(AgentError, match="redirects to"):
        Transport(server.url, GivenToken("secret")).ask("GET", "/x")
    assert [path for _, path, _ in server.seen] == ["/x"]


@pytest.mark.parametrize("sent", [b"", b"<html>", b"{", b'{"a": NaN}', b"[" * 100_000, b"\xff"])
def test_what_is_no_api_is_said_to_be_none(server: Server, sent: bytes) -> None:
    server.answers = [lambda handler: handler.answer(200, sent)]
    with pytest.raises(AgentError, match="not an Attune API"):
        Transport(server.url).ask("GET", "/x")


def test_names_stay_one_part_of_a_path() -> None:
    assert path_of("workers", "../../etc/x?y#z é", 5) == "/api/v1/workers/..%2F..%2Fetc%2Fx%3Fy%23z%20%C3%A9/5"


def test_an_expired_token_is_renewed_once_and_kept(server: Server, tmp_path: Path) -> None:
    file = LoginFile(tmp_path / "login.json")
    login = Login(server.url, "ada", "token-0", "r-0")
    file.write(login)
    server.valid = "another"
    server.answers = [guarded(server)]
    transport = Transport(server.url, KeptTokens(file, login))
    assert transport.ask("POST", "/x", {"a": 1}) == "fine"
    assert server.renewals == 1
    kept = file.read()
    assert kept is not None
    assert (kept.access_token, kept.refresh_token) == ("token-1", "r-1")
    assert [(path, token) for _, path, token in server.seen] == [
        ("/x", "Bearer token-0"), ("/auth/refresh", None), ("/x", "Bearer token-1"),
    ]  # fmt: skip


def test_commands_that_run_at_the_same_time_renew_once(server: Server, tmp_path: Path) -> None:
    file = LoginFile(tmp_path / "login.json")
    login = Login(server.url, "ada", "token-0", "r-0")
    file.write(login)
    server.valid = "another"
    server.answers = [guarded(server)]
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(Transport(server.url, KeptTokens(file, login)).ask("GET", "/x")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["fine"] * 8
    assert server.renewals == 1


def test_a_log_in_that_has_ended_says_how_to_begin_another(server: Server) -> None:
    server.answers = [lambda handler: handler.answer(401, {"error": {"code": 401, "message": "Invalid token"}})]
    with pytest.raises(AccessDenied, match="Invalid token") as error:
        Transport(server.url, GivenToken("x")).ask("GET", "/x")
    assert error.value.hint == "log in: attune login URL"
    assert "secret" not in str(error.value)
