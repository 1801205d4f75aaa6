"""``attune`` beside a running server: keys, accounts, workers, actions, packs, retries, completion.

Each test runs twice: asking the database, and over the API without a single setting.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.access.tokens import LEEWAY, check, mint
from tests.acceptance.both_ways import BOTH_WAYS, Place, documents, running_place
from tests.acceptance.command import argv, environment
from tests.packs import BROKEN
from tests.services.deployment import JWT_SECRET

pytestmark = [pytest.mark.postgres, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(scope="module", params=BOTH_WAYS)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with running_place(request, request.param) as made:
        yield made


def until(condition: Callable[[], object], *, timeout: float = 60.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def on_a_terminal(place: Place, *words: str, answers: tuple[tuple[str, str], ...] = ()) -> str:
    """Run a command on a pseudo terminal; type each answer when its prompt is there; return what appeared."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        argv("attune", *words),
        env={**place.environment, "TERM": "xterm", "COLUMNS": "100"},
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    seen, answered, left = b"", 0, list(answers)
    with open(ours, "r+b", buffering=0) as terminal:
        while True:
            if not select.select([terminal], [], [], 60)[0]:
                child.kill()
                break
            try:
                chunk = terminal.read(4096)
            except OSError:  # the other side has gone
                break
            if not chunk:
                break
            seen += chunk
            if left and left[0][0].encode() in seen[answered:]:
                answered = len(seen)
                terminal.write(left.pop(0)[1].encode() + b"\n")
    assert child.wait(60) == 0, seen.decode()
    return seen.decode()


# --- keys ---


def test_a_key_is_set_from_standard_input_a_file_or_a_prompt_and_never_seen(place: Place, tmp_path: Path) -> None:
    assert place.ok("key", "set", "cli.one", stdin="canary-stdin\n") == "stored cli.one, encrypted\n"
    held = tmp_path / "secret"
    held.write_text("canary-file\n")
    assert place.ok("key", "set", "cli.one", "--file", str(held)) == "changed cli.one, encrypted\n"
    seen = on_a_terminal(place, "key", "set", "cli.two", answers=(("Value: ", "canary-typed"),))
    assert "stored cli.two" in seen
    assert "canary-typed" not in seen
    everything = place.ok("key", "list") + place.ok("key", "show", "cli.one") + str(place.ask("key", "list"))
    everything += place.server.log() + str(place.deployment.all("SELECT * FROM key"))
    assert "canary" not in everything
    assert place.ask("key", "show", "cli.one", "--reveal")["value"] == "canary-file"
    assert place.ask("key", "show", "cli.two", "--reveal")["value"] == "canary-typed"
    assert "unexpected extra argument" in place.refused("key", "set", "cli.three", "value", code=2).lower()
    assert "nothing was given" in place.refused("key", "set", "cli.three", code=2)
    assert place.ok("key", "delete", "cli.one") == "deleted cli.one\n"
    assert "no key cli.one" in place.refused("key", "show", "cli.one")
    assert "cli.two" in place.ok("key", "list")


def test_a_stored_key_gives_an_action_a_parameter_that_it_requires(place: Place) -> None:
    schema = {"token": {"type": "string", "required": True, "secret": True}}
    place.deployment.add_action("keyed.show", '#!/bin/sh\nread -r line; echo "${#line}"\n', param_schema=schema)
    assert "token is required" in place.refused("run", "keyed.show", code=2)
    place.ok("key", "set", "keyed.token", "--action", "keyed.show", "--name", "token", stdin="from-the-store")
    assert place.attune("run", "keyed.show").returncode == 0


# --- workers ---


def test_a_worker_is_taken_out_of_use_drained_put_back_and_removed(place: Place) -> None:
    assert place.ok("worker", "cordon", "w1", "--reason", "repair") == "w1 is cordoned; 0 executions go on\n"
    assert "cordoned (repair)" in place.ok("worker", "list")
    waiting = place.ok("run", "core.echo", "-p", "message=later", "--no-wait").strip()
    explained = place.ok("execution", "explain", waiting)
    assert "No active, uncordoned workers available" in explained
    assert "w1" in explained
    assert place.ok("worker", "uncordon", "w1") == "w1 gets work again\n"
    until(lambda: place.deployment.execution(int(waiting)).status == "completed")

    slow = place.ok("run", "core.sleep", "-p", "seconds=100", "--no-wait").strip()
    place.deployment.wait(int(slow), "running")
    done = place.attune("worker", "drain", "w1", "--timeout", "0.1")
    assert (done.returncode, done.stdout) == (1, "1 executions are still on w1\n")
    assert "can't be removed: 1 executions are its" in place.refused("worker", "remove", "w1")
    place.ok("execution", "cancel", slow)
    assert place.ok("worker", "drain", "w1") == "nothing is left on w1\n"
    assert "can't be removed: it is active" in place.refused("worker", "remove", "w1")
    place.ok("worker", "uncordon", "w1")
    assert "no worker nobody" in place.refused("worker", "drain", "nobody")


def test_what_belonged_to_a_removed_worker_goes_with_it(place: Place) -> None:
    with place.deployment.another_agent("leaves") as agent:
        worker = agent.worker_id
    queues = "SELECT name FROM mq_queue WHERE name LIKE %s"
    assert len(place.deployment.all(queues, [f"worker.{worker}.%"])) == 3
    assert place.ok("worker", "remove", "leaves") == "leaves is removed\n"
    assert place.deployment.all(queues, [f"worker.{worker}.%"]) == []
    assert "no worker leaves" in place.refused("worker", "show", "leaves")


# --- actions and packs ---


def test_actions_are_listed_and_shown(place: Place) -> None:
    assert place.ok("action", "list").splitlines()[0].split() == ["REF", "RUNTIME", "VERSION", "DESCRIPTION"]
    assert {one["ref"] for one in place.ask("action", "list", "--pack", "core")} >= {"core.echo", "core.sleep"}
    assert place.ask("action", "list", "--pack", "no_such") == []
    shown = place.ok("action", "show", "core.echo")
    assert "Parameters" in shown
    assert "message" in shown
    assert place.ask("action", "show", "core.echo")["ref"] == "core.echo"
    assert "no action core.ecko" in place.refused("action", "show", "core.ecko")


def test_a_pack_is_shown_and_removed_with_its_files(place: Place, tmp_path: Path) -> None:
    source = tmp_path / "gone"
    (source / "actions").mkdir(parents=True)
    (source / "pack.yaml").write_text("ref: gone\nlabel: Gone\nversion: 1.0.0\n")
    (source / "actions/hi.yaml").write_text("ref: gone.hi\nrunner_type: shell\nentry_point: echo hi\n")
    place.ok("pack", "register", str(source))
    assert "gone.hi" in place.ok("pack", "show", "gone")
    assert place.ask("pack", "show", "gone")["version"] == "1.0.0"
    assert place.ok("run", "gone.hi") == "hi\n"
    assert place.attune("pack", "remove", "gone").returncode != 0  # nobody answered the question
    assert place.ok("pack", "remove", "gone", "--yes") == "removed gone\n"
    assert not (place.deployment.packs / "gone").exists()
    assert "no pack gone" in place.refused("pack", "show", "gone")
    assert [one["action_ref"] for one in place.ask("execution", "list", "--action", "gone.hi")] == ["gone.hi"]


def test_all_problems_of_a_pack_are_told_and_nothing_is_registered(place: Place) -> None:
    problems = (BROKEN / "problems.txt").read_text().splitlines()
    told = place.refused("pack", "register", str(BROKEN)).splitlines()
    assert [f"attune: {problem}" for problem in problems] == [line for line in told if line[8:] in problems]
    assert any("was not registered" in line for line in told)
    document = json.loads(place.attune("pack", "register", str(BROKEN), "--json").stdout)
    assert document["problems"][0].keys() == {"file", "line", "key", "message"}
    assert "broken" not in {one["ref"] for one in place.ask("pack", "list")}


# --- the same both ways ---


_MOMENTS = ("last_heartbeat", "heartbeat_age", "seconds")


def settled(document: Any) -> Any:
    """A document without what changes from one moment to the next."""
    if isinstance(document, list):
        return [settled(one) for one in document]
    if isinstance(document, dict):
        return {name: settled(one) for name, one in document.items() if name not in _MOMENTS}
    return document


def test_both_ways_print_the_same_documents(place: Place) -> None:
    if place.way == "database":
        pytest.skip("the other way compares the two")
    execution = str(place.ask("run", "core.echo", "-p", "message=the same")["id"])
    place.ok("key", "set", "same.key", stdin="value")
    place.ok("rule", "create", "core.same", "--trigger", "core.alert", "--action", "core.echo", "--disabled")
    event = place.ok("event", "send", "core.alert", '{"a": 1}').strip()
    until(lambda: place.deployment.all("SELECT 1 FROM server_event WHERE processed IS NOT NULL"))
    asked = [
        ("action", "list"), ("action", "show", "core.echo"), ("pack", "list"), ("pack", "show", "core"),
        ("worker", "list"), ("worker", "show", "w1"), ("runtime", "list"), ("runtime", "versions"),
        ("runtime", "explain", "core.echo"), ("execution", "list", "-n", "5"), ("execution", "show", execution),
        ("execution", "explain", execution), ("key", "list"), ("key", "show", "same.key", "--reveal"),
        ("identity", "list"), ("trigger", "list"), ("trigger", "show", "core.alert"), ("rule", "list"),
        ("rule", "show", "core.same"), ("event", "list"), ("event", "show", event), ("event", "explain", event),
        ("sensor", "list"),
    ]  # fmt: skip
    directly = documents(place.settings, asked)
    over_the_api = documents(place.environment, asked)
    for words, one, other in zip(asked, directly, over_the_api, strict=True):
        assert settled(one) == settled(other), words


# --- executions ---


def test_an_execution_is_tried_again_and_explained(place: Place) -> None:
    first = place.ask("run", "core.echo", "-p", "message=again and again")["id"]
    again = place.ok("execution", "retry", str(first)).strip()
    assert place.deployment.wait(int(again)).result["stdout"] == "again and again\n"
    assert place.ask("execution", "retry", again)["original_execution"] == first
    assert f"execution {again} is completed on worker w1" in place.ok("execution", "explain", again)
    assert "no execution 99999" in place.refused("execution", "retry", "99999")
    assert "no execution 99999" in place.refused("execution", "explain", "99999")


def test_parameters_come_from_a_file_and_from_standard_input(place: Place, tmp_path: Path) -> None:
    document = tmp_path / "parameters.json"
    document.write_text('{"message": "from a file"}')
    assert place.ok("run", "core.echo", "--params", f"@{document}") == "from a file\n"
    assert place.ok("run", "core.echo", "--params", "-", stdin='{"message": "from stdin"}') == "from stdin\n"
    assert "No such file" in place.refused("run", "core.echo", "--params", "@/nowhere", code=2)
    assert "must be a JSON object" in place.refused("run", "core.echo", "--params", "-", stdin="[1]", code=2)


def test_where_the_database_is_the_broker_already_nobody_need_say_so(place: Place, tmp_path: Path) -> None:
    if place.way == "api":
        pytest.skip("is about settings, and over the API there are none")
    settings = {k: v for k, v in place.deployment.environment.items() if k != "ATTUNE__MESSAGE_QUEUE__URL"}

    def attune(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv("attune", *words), env=environment(settings), capture_output=True, text=True, timeout=90, check=False
        )

    slow = place.ok("run", "core.sleep", "-p", "seconds=100", "--no-wait").strip()
    place.deployment.wait(int(slow), "running")
    assert attune("execution", "cancel", slow).returncode == 0
    assert place.deployment.wait(int(slow)).status == "cancelled"
    assert "workers were notified" in attune("pack", "register", str(place.deployment.packs / "core")).stdout


def test_a_list_stays_short_and_goes_on_where_it_ended(place: Place) -> None:
    place.attune("run", "core.fail", "-p", f"message={'long ' * 100}")
    for number in range(3):
        place.ok("run", "core.echo", "-p", f"message={number}")
    assert max(map(len, place.ok("execution", "list").splitlines())) < 250
    newest = [one["id"] for one in place.ask("execution", "list", "--limit", "4")]
    first = [one["id"] for one in place.ask("execution", "list", "--limit", "2")]
    rest = [one["id"] for one in place.ask("execution", "list", "--limit", "2", "--before", str(first[-1]))]
    assert first + rest == newest


def test_a_status_that_does_not_exist_is_an_invalid_choice(place: Place) -> None:
    refused = place.refused("execution", "list", "--status", "bogus", code=2)
    assert "'bogus' is not one of" in refused
    assert "completed" in refused


def test_an_action_that_writes_escape_sequences_drives_no_terminal(place: Place) -> None:
    script = r"""#!/bin/sh
printf '\033[31mred\033[0m \033]0;title\007\033[2J\033[10;10H\033]52;c;aGk=\007\033[?1049hplain\n'
"""
    place.deployment.add_action("escapes.write", script)
    made = re.compile(r"\x1b\[2J|\x1b\[10;10H|\x1b\]|\x1b\[\?1049h")
    ran = on_a_terminal(place, "run", "escapes.write")
    assert "\x1b[31mred\x1b[0m" in ran
    assert not made.search(ran)
    newest = place.ask("execution", "list", "--action", "escapes.write")[0]["id"]
    logs = on_a_terminal(place, "execution", "logs", str(newest))
    assert "\x1b[31mred\x1b[0m" in logs
    assert not made.search(logs)
    assert "\x1b[2J" in place.ok("execution", "logs", str(newest)), "a pipe gets what was written"


def following(place: Place, execution: str) -> subprocess.Popen[str]:
    """Follow a log with the command."""
    return subprocess.Popen(
        argv("attune", "execution", "logs", execution, "--follow"),
        env=place.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def gated(place: Place, ref: str, gate: Path) -> str:
    """Start an action that writes a line, and the rest when the gate is there; return its execution."""
    script = f"echo one; while [ ! -e {gate} ]; do sleep 0.05; done; printf 'two\\nthree'; echo oops >&2\n"
    place.deployment.add_action(ref, script)
    return place.ok("run", ref, "--no-wait").strip()


def test_a_log_is_followed_line_by_line_whatever_becomes_of_the_server(place: Place, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    execution = gated(place, "lines.write", gate)
    with following(place, execution) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "one\n"
        assert place.deployment.execution(int(execution)).status == "running", "it was not waited for"
        if place.way == "api":
            place.restart_server()
        gate.touch()
        out, err = child.communicate(timeout=90)
    assert (child.returncode, out, err) == (0, "two\nthree", "oops\n")
    assert place.ok("execution", "logs", execution) == "one\ntwo\nthree"


def test_a_log_in_that_ends_while_a_log_is_followed_is_renewed(place: Place, tmp_path: Path) -> None:
    if place.way == "database":
        pytest.skip("the database is asked without a log-in")
    gate = tmp_path / "gate"
    execution = gated(place, "lines.renewed", gate)
    file = place.deployment.directory / "home" / "attune" / "login.json"
    kept = json.loads(file.read_text())
    claims = check(kept["access_token"], secret=JWT_SECRET, now=time.time())
    soon = mint(dataclasses.replace(claims, expires=time.time() - LEEWAY + 4), secret=JWT_SECRET, now=time.time())
    file.write_text(json.dumps(kept | {"access_token": soon}))
    with following(place, execution) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "one\n"
        until(lambda: json.loads(file.read_text())["access_token"] != soon)
        gate.touch()
        out, err = child.communicate(timeout=90)
    assert (child.returncode, out, err) == (0, "two\nthree", "oops\n")


# --- accounts ---


def test_accounts_are_made_listed_frozen_and_get_other_passwords(place: Place) -> None:
    made = place.ok("identity", "create", "grace", "--set", "core.viewer", stdin="a good password\n")
    assert made.startswith("made grace (id ")
    assert made.endswith(" with core.viewer\n")
    assert "already exists" in place.refused("identity", "create", "grace", stdin="a good password\n")
    assert "has 8 to 128 characters" in place.refused("identity", "create", "short", stdin="short\n", code=2)
    assert "no permission set no.such" in place.refused("identity", "create", "x1", "--set", "no.such", "--no-password")
    typed = on_a_terminal(
        place,
        "identity",
        "create",
        "typed",
        answers=(("Password: ", "typed password"), ("confirmation: ", "typed password")),
    )
    assert "made typed" in typed
    assert "typed password" not in typed
    listed = {one["login"]: one for one in place.ask("identity", "list")}
    assert listed["grace"]["sets"] == ["core.viewer"]
    assert "x1" not in listed
    assert place.ok("identity", "freeze", "grace") == "grace is frozen\n"
    assert "frozen" in place.ok("identity", "list")
    assert place.ok("identity", "freeze", "grace", "--undo") == "grace is active again\n"
    place.ok("identity", "set-password", "grace", stdin="another password\n")
    assert "no identity nobody" in place.refused("identity", "freeze", "nobody")


# --- completion ---


def complete(place: Place, line: str, word: str) -> list[str]:
    words = line.split()
    settings = {"_ATTUNE_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words))}
    if word:
        settings["COMP_CWORD"] = str(len(words) - 1)
    program = "import sys; sys.argv[0] = 'attune'; from agent.cli.operator import main; main()"
    done = subprocess.run(
        [argv("attune")[0], "-c", program], env=place.environment | settings,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return [entry.partition(",")[2] for entry in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("line", "word", "expected"),
    [
        ("attune work", "work", "worker"),
        ("attune run core.ec", "core.ec", "core.echo"),
        ("attune worker drain w", "w", "w1"),
        ("attune pack show c", "c", "core"),
        ("attune identity freeze t", "t", "typed"),
        ("attune key show cli.t", "cli.t", "cli.two"),
        ("attune execution list --status can", "can", "canceling"),
    ],
)
def test_commands_references_and_choices_are_completed(place: Place, line: str, word: str, expected: str) -> None:
    if expected == "typed" and not place.deployment.all("SELECT 1 FROM identity WHERE login = 'typed'"):
        place.ok("identity", "create", "typed", "--no-password")
    if expected == "cli.two" and not place.deployment.all("SELECT 1 FROM key WHERE ref = 'cli.two'"):
        place.ok("key", "set", "cli.two", stdin="x")
    assert expected in complete(place, line, word)


def test_ids_of_executions_are_completed(place: Place) -> None:
    made = str(place.ask("run", "core.echo")["id"])
    assert made in complete(place, f"attune execution show {made[:1]}", made[:1])
