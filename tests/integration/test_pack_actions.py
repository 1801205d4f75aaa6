"""Every action of the packs that ship, run as a worker runs it: its file, its parameters on standard input."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.packs.model import PackAction
from agent.packs.parser import read_pack
from tests.packs import SHIPPED
from tests.services.availability import unavailable
from tests.services.web import serving

CORE = {action.ref: action for action in read_pack(SHIPPED / "core").actions}
EXAMPLES = {action.ref: action for action in read_pack(SHIPPED / "examples").actions}
SHELLS = (("bash",), ("dash",), ("busybox", "sh"))
INTERPRETERS = {
    "python": ("python3", "-u"),
    "nodejs": ("node",),
    "ruby": ("ruby",),
    "go": ("go", "run"),
    "java": ("java",),
    "perl": ("perl",),
    "r": ("Rscript", "--vanilla"),
    "native": (),
}
AWKWARD = "O'Neil's \"Ünï\" \\n $(id) `id` ${HOME} 'x'"


@dataclass(frozen=True)
class Outcome:
    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


def document(action: PackAction, parameters: Mapping[str, Any]) -> str:
    """Write the parameters as a worker does: schema defaults applied, one document, one more line end."""
    schema = action.param_schema or {}
    values = {name: one["default"] for name, one in schema.items() if "default" in one} | dict(parameters)
    if action.parameter_format == "json":
        return json.dumps(values, ensure_ascii=False, separators=(",", ":")) + "\n"
    quoted = {name: _dotenv(value) for name, value in values.items()}
    return "\n".join(f"{name}='{value}'" for name, value in sorted(quoted.items())) + "\n"


def _dotenv(value: Any) -> str:
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
    return text.replace("'", "'\\''")


def run(
    action: PackAction,
    interpreter: tuple[str, ...] | None = None,
    environ: Mapping[str, str] | None = None,
    /,
    **parameters: Any,
) -> Outcome:
    pack = SHIPPED / action.ref.partition(".")[0]
    command = [*(INTERPRETERS[action.runner_type] if interpreter is None else interpreter)]
    if command and shutil.which(command[0]) is None:
        unavailable(command[0], "install it to try this action")
    done = subprocess.run(
        [*command, str(pack / "actions" / action.entrypoint)],
        input=document(action, parameters).encode(),
        capture_output=True,
        cwd=pack,
        timeout=120,
        env={**os.environ, **(environ or {})},
        check=False,
    )
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture(params=SHELLS, ids=[" ".join(shell) for shell in SHELLS])
def shell(request: pytest.FixtureRequest) -> tuple[str, ...]:
    chosen: tuple[str, ...] = request.param
    return chosen


@pytest.mark.parametrize("action", EXAMPLES.values(), ids=list(EXAMPLES))
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_each_example_greets_by_name_in_its_language_whatever_the_locale(
    action: PackAction, locale: str, tmp_path: Path
) -> None:
    interpreter = ("sh",) if action.runner_type == "shell" else None
    environ = {"LC_ALL": locale}
    if action.runner_type == "go" and "HOME" not in os.environ:
        environ["GOCACHE"] = str(tmp_path)

    outcome = run(action, interpreter, environ, name=AWKWARD)

    assert (outcome.code, outcome.stderr) == (0, "")
    answer = outcome.json
    assert answer["greeting"] == f"Hello, {AWKWARD}!"
    assert answer["language"] in action.ref
    assert answer["version"]


@pytest.mark.parametrize("ref", ["examples.hello_shell", "examples.hello_native"])
def test_shell_examples_run_in_every_posix_shell(shell: tuple[str, ...], ref: str) -> None:
    assert run(EXAMPLES[ref], shell, name=AWKWARD).json["greeting"] == f"Hello, {AWKWARD}!"


@pytest.mark.parametrize("action", EXAMPLES.values(), ids=list(EXAMPLES))
def test_each_example_has_a_default_name(action: PackAction) -> None:
    outcome = run(action, ("sh",) if action.runner_type == "shell" else None)

    assert outcome.json["greeting"] == "Hello, World!"


def test_native_example_is_executed_itself() -> None:
    action = EXAMPLES["examples.hello_native"]

    assert os.access(SHIPPED / "examples" / "actions" / action.entrypoint, os.X_OK)


def test_echo_prints_any_message_as_it_is(shell: tuple[str, ...]) -> None:
    message = f"{AWKWARD}\n\nuppercase='true'\n'\n -n -e \\c\ttab"

    outcome = run(CORE["core.echo"], shell, message=message)

    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, f"{message}\n", "")


def test_echo_can_shout(shell: tuple[str, ...]) -> None:
    assert run(CORE["core.echo"], shell, message="it's me", uppercase=True).stdout == "IT'S ME\n"


def test_echo_evaluates_neither_names_nor_values_of_parameters(shell: tuple[str, ...], tmp_path: Path) -> None:
    hostile = {f"x; touch {tmp_path}/a; y": "1", "PATH": "/nowhere", "message": f"$(touch {tmp_path}/b)"}

    outcome = run(CORE["core.echo"], shell, **hostile)

    assert outcome.stdout == f"$(touch {tmp_path}/b)\n"
    assert list(tmp_path.iterdir()) == []


def test_noop_says_nothing_or_its_message(shell: tuple[str, ...]) -> None:
    assert run(CORE["core.noop"], shell) == Outcome(0, "", "")
    assert run(CORE["core.noop"], shell, message="done").stdout == "done\n"


def test_sleep_waits_and_then_prints_its_message(shell: tuple[str, ...]) -> None:
    started = time.monotonic()

    outcome = run(CORE["core.sleep"], shell, seconds=1, message="awake")

    assert (outcome.code, outcome.stdout) == (0, "awake\n")
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize("seconds", ["", "-1", "1; exit 0", "soon"])
def test_sleep_refuses_what_is_no_number(shell: tuple[str, ...], seconds: str) -> None:
    outcome = run(CORE["core.sleep"], shell, seconds=seconds)

    assert outcome.code == 2
    assert "is not a whole number of seconds" in outcome.stderr


def test_fail_ends_with_the_code_and_message_that_were_asked_for(shell: tuple[str, ...]) -> None:
    assert run(CORE["core.fail"], shell) == Outcome(1, "", "failed on purpose\n")
    assert run(CORE["core.fail"], shell, exit_code=42, message="broken") == Outcome(42, "", "broken\n")


@pytest.mark.parametrize("code", ["0", "256", "-1", "x", "", "1111"])
def test_fail_refuses_a_code_that_no_program_can_have(shell: tuple[str, ...], code: str) -> None:
    outcome = run(CORE["core.fail"], shell, exit_code=code)

    assert outcome.code == 2
    assert "is not a number from 1 to 255" in outcome.stderr


def test_run_command_passes_on_output_and_exit_code(shell: tuple[str, ...], tmp_path: Path) -> None:
    command = "pwd\nprintf '%s\\n' \"it's\" >&2\ncat\nexit 7"

    outcome = run(CORE["core.run_command"], shell, command=command, directory=str(tmp_path))

    assert outcome == Outcome(7, f"{tmp_path}\n", "it's\n")


def test_run_command_needs_a_command_and_a_directory_that_exists(shell: tuple[str, ...]) -> None:
    assert run(CORE["core.run_command"], shell).code == 2
    outcome = run(CORE["core.run_command"], shell, command="true", directory="/nowhere")
    assert outcome.code == 2
    assert "can't go to '/nowhere'" in outcome.stderr


class _Server(http.server.BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        seen = {
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": self.rfile.read(length).decode(),
        }
        status = int(self.path[1:4]) if self.path[1:4].isdigit() else 200
        body = json.dumps(seen).encode()
        self.send_response(status)
        if status == 302:
            host, port = self.server.server_address[:2]
            target = "ftp://example.invalid/" if "ftp" in self.path else f"http://{host}:{port}/landed"
            self.send_header("Location", target)
        self.send_header("Content-Type", "application/json; charset=odd" if "odd" in self.path else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_HEAD = _answer  # noqa: N815 - the library looks for these names


@pytest.fixture
def web() -> Iterator[str]:
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server)) as port:
        yield f"http://127.0.0.1:{port}"


def ask(**parameters: Any) -> Outcome:
    return run(CORE["core.http_request"], None, {"no_proxy": "*", "LC_ALL": "C"}, **parameters)


def test_http_request_returns_status_headers_and_json(web: str) -> None:
    outcome = ask(url=f"{web}/here?a=1", query={"b": ["2", "3"], "c": "ä &"})

    assert (outcome.code, outcome.stderr) == (0, "")
    answer = outcome.json
    assert (answer["status_code"], answer["truncated"]) == (200, False)
    assert answer["json"]["path"] == "/here?a=1&b=2&b=3&c=%C3%A4+%26"
    assert answer["headers"]["content-type"] == "application/json"
    assert json.loads(answer["body"]) == answer["json"]


def test_http_request_sends_method_headers_and_body(web: str) -> None:
    answer = ask(url=web, method="put", headers={"X-Mine": "1"}, json_body={"ä": [1, None]}).json["json"]

    assert (answer["method"], answer["headers"]["x-mine"]) == ("PUT", "1")
    assert answer["headers"]["content-type"] == "application/json"
    assert json.loads(answer["body"]) == {"ä": [1, None]}
    assert ask(url=web, method="POST", body="plain ü").json["json"]["body"] == "plain ü"


def test_http_request_fails_on_an_unexpected_status_and_shows_the_answer(web: str) -> None:
    outcome = ask(url=f"{web}/503")

    assert outcome.code == 1
    assert "answered with status 503" in outcome.stderr
    assert outcome.json["status_code"] == 503
    assert ask(url=f"{web}/503", expected_status=[503]).code == 0
    assert ask(url=web, expected_status=[204]).code == 1


def test_http_request_follows_redirects_without_the_token(web: str) -> None:
    followed = ask(url=f"{web}/302", bearer_token="secret", headers={"X-Mine": "1"}).json
    stayed = ask(url=f"{web}/302", bearer_token="secret", follow_redirects=False, expected_status=[302]).json

    assert followed["url"].endswith("/landed")
    assert followed["json"]["headers"].get("x-mine") == "1"
    assert "authorization" not in followed["json"]["headers"]
    assert stayed["json"]["headers"]["authorization"] == "Bearer secret"


def test_http_request_cuts_a_long_body(web: str) -> None:
    answer = ask(url=web, max_body_bytes=10).json

    assert (len(answer["body"]), answer["truncated"], "json" in answer) == (10, True, False)


def test_http_request_reads_a_body_in_an_unknown_character_set_as_utf8(web: str) -> None:
    assert ask(url=f"{web}/odd").json["json"]["path"] == "/odd"


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://example.invalid/", "nothing", "", "http://[::1", "http://"]
)
def test_http_request_refuses_other_addresses_without_a_traceback(url: str) -> None:
    outcome = ask(url=url)

    assert outcome.code in (1, 2)
    assert outcome.stdout == ""
    assert "Traceback" not in outcome.stderr


def test_http_request_says_when_nobody_answers(web: str) -> None:
    outcome = ask(url=f"http://127.0.0.1:{free_port()}/")

    assert outcome.code == 1
    assert "no answer from" in outcome.stderr
    assert "unknown url type" in ask(url=f"{web}/302/ftp").stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_wait_for_port_ends_as_soon_as_something_listens() -> None:
    port = free_port()
    listener = socket.socket()
    opener = threading.Timer(0.4, lambda: (listener.bind(("127.0.0.1", port)), listener.listen()))
    opener.start()
    try:
        outcome = run(CORE["core.wait_for_port"], None, host="127.0.0.1", port=port, timeout=30, interval=0.05)
    finally:
        opener.join()
        listener.close()

    assert outcome.code == 0
    assert outcome.json["port"] == port
    assert outcome.json["attempts"] >= 1


def test_wait_for_port_gives_up_in_time() -> None:
    outcome = run(CORE["core.wait_for_port"], None, host="127.0.0.1", port=free_port(), timeout=0.3, interval=0.1)

    assert outcome.code == 1
    assert "didn't accept a connection within 0.3 s" in outcome.stderr


@pytest.mark.parametrize("port", [None, 0, 70000, "http"])
def test_wait_for_port_refuses_what_is_no_port(port: object) -> None:
    outcome = run(CORE["core.wait_for_port"], None, port=port)

    assert outcome.code == 2
    assert "Traceback" not in outcome.stderr
