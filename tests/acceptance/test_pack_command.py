"""``attune pack`` as an operator runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pika
import pytest

from agent.mq.messages import PackRegistered, decode_pack_event
from tests.integration.test_pack_actions import free_port
from tests.packs import BROKEN, COMPLETE

Attune = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def attune(database_url: str, tmp_path: Path) -> Attune:
    """Run ``attune`` with some words and settings."""

    def run(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        environ = {
            "PATH": "/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
            "ATTUNE__DATABASE__URL": database_url,
            "ATTUNE__PACKS_BASE_DIR": str(tmp_path / "packs"),
            **settings,
        }
        return subprocess.run(
            [sys.executable, "-c", "from agent.cli.operator import main; main()", *words],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
            env={**environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            check=False,
        )

    return run


def test_a_pack_that_ships_is_registered_by_its_name(attune: Attune, tmp_path: Path) -> None:
    done = attune("pack", "register", "core")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "registered core 1.0.0: 10 runtimes, 7 actions, 1 sensor, 5 triggers, 4 permission sets",
        f"  files copied to {tmp_path}/packs/core",
        "  workers were not notified",
    ]
    assert attune("pack", "register", str(tmp_path / "packs" / "core")).stdout.splitlines()[:2] == [
        "updated core 1.0.0: 10 runtimes, 7 actions, 1 sensor, 5 triggers, 4 permission sets",
        f"  files already in {tmp_path}/packs/core",
    ]


def test_packs_are_listed_for_people_and_for_programs(attune: Attune) -> None:
    assert "no pack is registered" in attune("pack", "list").stdout
    attune("pack", "register", "core")

    table = attune("pack", "list").stdout
    listed = json.loads(attune("pack", "list", "--json").stdout)

    assert "core" in table
    assert "1.0.0" in table
    assert [(one["ref"], one["actions"], one["runtimes"]) for one in listed] == [("core", 7, 10)]


def test_all_problems_of_a_broken_pack_are_told_and_nothing_is_registered(attune: Attune, tmp_path: Path) -> None:
    problems = (BROKEN / "problems.txt").read_text().splitlines()

    done = attune("pack", "register", str(BROKEN))

    assert done.returncode == 1
    assert [f"attune: {problem}" for problem in problems] == done.stderr.splitlines()[-len(problems) - 1 : -1]
    assert done.stderr.splitlines()[-1] == f"attune: {BROKEN} was not registered: {len(problems)} problems"
    assert done.stdout == ""
    assert not (tmp_path / "packs").exists()
    assert json.loads(attune("pack", "list", "--json").stdout) == []


def test_problems_can_be_had_as_json(attune: Attune) -> None:
    done = attune("pack", "register", str(BROKEN), "--json")

    document = json.loads(done.stdout)
    assert done.returncode == 1
    assert document["problems"][0].keys() == {"file", "line", "key", "message"}
    assert len(document["warnings"]) == 2


def test_a_pack_whose_runtime_is_missing_is_refused_with_a_hint(attune: Attune) -> None:
    done = attune("pack", "register", str(COMPLETE))

    assert done.returncode == 1
    assert "no runtime 'shell' is registered" in done.stderr
    assert "hint: register the pack that brings the runtime first" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_path_without_a_pack_is_refused(attune: Attune, tmp_path: Path) -> None:
    assert "is not a directory" in attune("pack", "register", "nowhere").stderr
    assert "pack.yaml:1: can't be read" in attune("pack", "register", str(tmp_path)).stderr


def test_an_unreachable_database_is_exit_code_3(attune: Attune) -> None:
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/none"

    assert attune("pack", "list", ATTUNE__DATABASE__URL=url).returncode == 3


@pytest.fixture
def events(amqp_vhost_url: str) -> Iterator[Callable[[], PackRegistered | None]]:
    """Listens to the pack events of a broker."""
    connection = pika.BlockingConnection(pika.URLParameters(amqp_vhost_url))
    channel = connection.channel()
    channel.exchange_declare("attune.events", "topic", durable=True)
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, "attune.events", "pack.registered")

    def take() -> PackRegistered | None:
        for method, _, body in channel.consume(queue, auto_ack=True, inactivity_timeout=10):
            if method is None:
                return None
            event = decode_pack_event(body)
            return event if isinstance(event, PackRegistered) else None
        return None

    yield take
    connection.close()


def test_workers_are_told_what_to_prepare(
    attune: Attune, amqp_vhost_url: str, events: Callable[[], PackRegistered | None]
) -> None:
    attune("pack", "register", "core")

    done = attune("pack", "register", str(COMPLETE), ATTUNE__MESSAGE_QUEUE__URL=amqp_vhost_url)

    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "  workers were notified to prepare: python")
    event = events()
    assert event is not None
    assert (event.pack_ref, event.version, event.runtime_names) == ("complete", "2.1.0-rc.1", ("python",))


def test_a_pack_is_registered_even_when_the_broker_is_away(attune: Attune) -> None:
    url = f"amqp://guest:guest@127.0.0.1:{free_port()}/"

    done = attune("pack", "register", "core", ATTUNE__MESSAGE_QUEUE__URL=url)

    assert done.returncode == 4
    assert "the pack is registered, but workers were not notified" in done.stderr
    assert [one["ref"] for one in json.loads(attune("pack", "list", "--json").stdout)] == ["core"]
