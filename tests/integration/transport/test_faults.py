"""Real faults between a worker without a volume and its server: killed in the middle, full disks, another key."""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.transport.conftest import Apart, running_apart
from tests.integration.transport.test_logs import left_here, live, log_of
from tests.services.deployment import running_deployment
from tests.services.proxy import Proxy
from tests.services.small_disk import mounted
from tests.services.waiting import until

pytestmark = pytest.mark.postgres


@pytest.fixture
def pack() -> str:
    return f"p{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def apart(request: pytest.FixtureRequest) -> Iterator[Apart]:
    """A server whose artifacts lie on a disk of their own, which can be full."""
    with (
        running_deployment(request, "database") as deployment,
        mounted(deployment.artifacts, 16 << 20),
        running_apart(deployment) as opened,
    ):
        yield opened


@contextlib.contextmanager
def slow_network(apart: Apart) -> Iterator[tuple[Proxy, str]]:
    """Put a proxy before the server, whichever lives at its port."""
    port = apart.site.server.port
    proxy = Proxy(lambda: socket.create_connection(("127.0.0.1", port), 20))
    try:
        yield proxy, f"http://127.0.0.1:{proxy.port}"
    finally:
        proxy.close()


def kill_and_restart(apart: Apart) -> None:
    apart.site.server.kill()
    apart.restart_server()


def test_a_server_that_is_killed_while_a_pack_is_fetched_is_asked_for_the_rest(apart: Apart, pack: str) -> None:
    apart.add_action(f"{pack}.large", "wc -c < noise.bin; cksum < noise.bin")
    noise = os.urandom(4 << 20)
    (apart.deployment.packs / pack / "noise.bin").write_bytes(noise)
    with slow_network(apart) as (proxy, url):
        agent = apart.start_agent("fetches", url=url)
        proxy.slow_down(rate=2 << 20)
        running = apart.deployment.start(f"{pack}.large")
        folder = apart.place("fetches") / "packs" / ".fetched" / pack
        came = proxy.pieces
        until(lambda: folder.is_dir() and proxy.pieces > came + 4, "the begin of the download")
        assert all(name.startswith(".new-") for name in apart.versions("fetches", pack)), "none is whole"
        kill_and_restart(apart)
        proxy.accept()
        done = apart.deployment.wait(running)
        assert done.status == "completed", (done.result, agent.log()[-3000:])
        assert done.result["stdout"].split()[0] == str(len(noise))
        assert len(apart.versions("fetches", pack)) == 1
        assert not list(folder.glob(".new-*"))
        agent.stop()


def test_a_server_that_is_killed_while_a_log_is_sent_has_it_whole_in_the_end(
    apart: Apart, pack: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    apart.add_action(f"{pack}.much", f"seq 1 200000; while [ ! -e {gate} ]; do sleep 0.05; done; echo end")
    apart.add_action(f"{pack}.little", "true")
    with slow_network(apart) as (proxy, url):
        agent = apart.start_agent("sends", url=url)
        apart.deployment.run(f"{pack}.little")  # the pack is there now
        proxy.slow_down(rate=1 << 20)
        running = apart.deployment.start(f"{pack}.much")
        until(lambda: live(apart, running).exists() and live(apart, running).stat().st_size > 0, "a piece")
        kill_and_restart(apart)
        proxy.accept()
        gate.touch()
        assert apart.deployment.wait(running).status == "completed", agent.log()[-3000:]
        until(log_of(apart, running).exists, "the log")
        expected = "".join(f"{number}\n" for number in range(1, 200_001)) + "end\n"
        assert log_of(apart, running).read_text() == expected
        until(lambda: left_here(apart, "sends") == [], "an empty disk")
        agent.stop()


def test_a_server_whose_key_has_changed_is_shown_another_token(apart: Apart, pack: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    apart.add_action(f"{pack}.slow", f"echo one; while [ ! -e {gate} ]; do sleep 0.05; done; echo two")
    agent = apart.start_agent("other-key")
    running = apart.deployment.start(f"{pack}.slow")
    until(lambda: live(apart, running).exists() and live(apart, running).read_text() == "one\n", "the first line")
    before = dict(apart.settings)
    try:
        apart.settings["ATTUNE__SECURITY__JWT_SECRET"] = "another key, with which no token of before is signed"
        kill_and_restart(apart)
        gate.touch()
        assert apart.deployment.wait(running).status == "completed", agent.log()[-3000:]
        until(log_of(apart, running).exists, "the log")
        assert log_of(apart, running).read_text() == "one\ntwo\n"
    finally:
        apart.settings.clear()
        apart.settings.update(before)
        kill_and_restart(apart)
    agent.stop()


def test_a_server_whose_disk_is_full_gets_the_log_when_there_is_room(apart: Apart, pack: str) -> None:
    apart.add_action(f"{pack}.much", "head -c 300000 /dev/zero | tr '\\0' x")
    agent = apart.start_agent("full-there")
    filler = apart.deployment.artifacts / "filler"
    with contextlib.suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(b"0" * 65536)
    try:
        done = apart.deployment.run(f"{pack}.much")
        assert done.status == "completed", (done.result, agent.log()[-3000:])
        assert not log_of(apart, done.id).exists(), "nothing that is not whole has its name"
        assert left_here(apart, "full-there") == ["stdout.log", "stdout.upload"]
        assert "the server's disk is full" in agent.log()
    finally:
        filler.unlink()
    until(log_of(apart, done.id).exists, "the log")
    assert log_of(apart, done.id).read_bytes() == b"x" * 300_000
    agent.stop()


def test_a_worker_whose_disk_is_full_sends_what_it_has_with_a_mark(apart: Apart, pack: str) -> None:
    apart.add_action(f"{pack}.much", "head -c 600000 /dev/zero | tr '\\0' x")
    with mounted(apart.place("full-here") / "artifacts", 256 << 10):
        agent = apart.start_agent("full-here")
        done = apart.deployment.run(f"{pack}.much")
        assert done.status == "completed", (done.result, agent.log()[-3000:])
        until(log_of(apart, done.id).exists, "the log")
        text = log_of(apart, done.id).read_text()
        assert text.startswith("xxx")
        assert text.endswith("[OUTPUT TRUNCATED: this log could not be written: No space left on device]\n")
        until(lambda: left_here(apart, "full-here") == [], "room again")
        again = apart.deployment.run(f"{pack}.much")
        assert again.status == "completed"
        agent.stop()


def test_a_pack_that_has_no_room_fails_its_execution_and_comes_when_there_is(apart: Apart, pack: str) -> None:
    apart.add_action(f"{pack}.large", "wc -c < noise.bin")
    (apart.deployment.packs / pack / "noise.bin").write_bytes(os.urandom(600_000))
    with mounted(apart.place("no-room") / "packs", 512 << 10) as disk:
        agent = apart.start_agent("no-room")
        failed = apart.deployment.run(f"{pack}.large")
        assert (failed.status, failed.result["cause"]) == ("failed", "environment_failed"), failed.result
        assert "No space left on device" in failed.result["error"]
        assert apart.versions("no-room", pack) == []
        disk.grow(8 << 20)
        done = apart.deployment.run(f"{pack}.large")
        assert (done.status, done.result["stdout"]) == ("completed", "600000\n"), agent.log()[-3000:]
        agent.stop()
