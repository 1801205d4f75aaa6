"""``attune up``: everything on one machine, kept between runs; what stands in its way is said in one sentence."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.acceptance.command import argv, environment, run
from tests.services.waiting import until

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that the embedded server's user can walk to."""
    directory = Path(tempfile.mkdtemp(prefix="attune-up-"))
    directory.chmod(0o755)
    yield directory / "site"
    run("attune", "down", "--directory", str(directory / "site"))
    shutil.rmtree(directory, ignore_errors=True)


def up(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Start everything in the background."""
    return run("attune", "up", "--directory", str(place), "--detach", "--port", "0", *words, timeout=120)


def test_it_runs_an_action_keeps_it_and_stops_in_order(place: Path) -> None:
    started = up(place, "--json")
    assert started.returncode == 0, started.stderr
    found = json.loads(started.stdout)
    settings = {"ATTUNE_CONFIG": str(place / "config.yaml")}
    done = run("attune", "run", "examples.hello_shell", "-p", "name=you", settings=settings)
    assert json.loads(done.stdout)["greeting"] == "Hello, you!"
    rules = json.loads(run("attune", "rule", "list", "--json", settings=settings).stdout)
    assert [one["enabled"] for one in rules if one["ref"] == "examples.every_minute"] == [False]
    timed = ("rule", "create", "examples.soon", "--trigger", "core.intervaltimer", "--trigger-param", "interval=1")
    made = run("attune", *timed, "--action", "examples.hello_shell", "--param", "name=timer", settings=settings)
    assert made.returncode == 0, made.stderr
    until(lambda: "Hello, timer!" in _results(settings), "a timer's execution", timeout=60)

    body = {"login": found["login"], "password": found["password"]}
    assert httpx.post(f"{found['url']}/auth/login", json=body, trust_env=False).status_code == 200

    assert not [path for path in place.iterdir() if path.stat().st_mode & 0o066], "others can look into it"

    again = up(place)
    assert again.returncode == 0
    assert "is up already" in again.stdout
    assert found["url"] in again.stdout

    refused = run("attune", "up", "--directory", str(place), "--reset", "--yes")
    assert refused.returncode == 2
    assert "it runs in" in refused.stderr

    assert run("attune", "down", "--directory", str(place)).returncode == 0
    assert not [line for line in _commands() if str(place) in line]
    assert "nothing is up" in run("attune", "down", "--directory", str(place)).stderr


def test_what_a_killed_one_leaves_stops_nobody(place: Path) -> None:
    assert up(place).returncode == 0
    pid = int((place / "lock").read_text())
    os.kill(pid, signal.SIGKILL)
    started = up(place, "--json")
    assert started.returncode == 0, started.stderr
    settings = {"ATTUNE_CONFIG": str(place / "config.yaml")}
    listed = run("attune", "execution", "list", "--json", settings=settings)
    assert "examples.hello_shell" in listed.stdout
    assert run("attune", "down", "--directory", str(place)).returncode == 0
    until(lambda: not [line for line in _commands() if str(place) in line], "an end of all")


def test_ctrl_c_stops_it_and_asks_before_it_deletes(place: Path) -> None:
    words = argv("attune", "up", "--directory", str(place), "--port", "0")
    process = subprocess.Popen(words, env=environment(), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    until((place / "state").exists, "a start", timeout=60)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "ready in" in out
    assert "is kept" in err
    asked = subprocess.run(
        argv("attune", "up", "--directory", str(place), "--reset"),
        env=environment(), input="n\n", capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert asked.returncode != 0
    assert (place / "postgres" / "PG_VERSION").exists()


def test_a_taken_port_is_said(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("attune", "up", "--directory", str(place), "--port", port)
    assert done.returncode == 2
    assert f"port {port} of 127.0.0.1 is taken" in done.stderr


def test_a_database_of_a_newer_version_is_said(place: Path) -> None:
    version = place / "postgres" / "PG_VERSION"
    before = version.read_text()
    version.write_text("99\n")
    done = up(place)
    version.write_text(before)
    assert done.returncode == 1
    assert "was made by PostgreSQL 99" in done.stderr
    assert "Traceback" not in done.stderr


def test_tables_of_a_newer_attune_are_said_and_left_alone(place: Path) -> None:
    started = up(place)
    assert started.returncode == 0, started.stderr
    url = json.loads((place / "config.yaml").read_text())["database"]["url"]
    with psycopg.connect(url) as connection:
        connection.execute("SET search_path TO attune, public")
        connection.execute("INSERT INTO attune_migration (name, checksum) VALUES ('99990101000001_tomorrow.sql', 'x')")
    assert run("attune", "down", "--directory", str(place)).returncode == 0
    done = up(place)
    assert done.returncode == 1
    assert f"a newer attune has changed the database in {place}: 99990101000001_tomorrow.sql" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [line for line in _commands() if str(place) in line]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
def test_a_full_disk_is_said(place: Path) -> None:
    disk = place.parent / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        done = run("attune", "up", "--directory", str(disk / "site"), "--detach", timeout=120)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr or "is full" in done.stderr
    assert "Traceback" not in done.stderr


def _results(settings: dict[str, str]) -> str:
    listed = json.loads(run("attune", "execution", "list", "--json", settings=settings).stdout)
    ended = [str(one["id"]) for one in listed if one["status"] == "completed"]
    return "".join(run("attune", "execution", "show", one, "--json", settings=settings).stdout for one in ended[:3])


def _commands() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
