"""What is in the one-file agent, what isn't, how large and how fast it is, and what it relies on in PyInstaller."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from PyInstaller.archive.readers import CArchiveReader

from tests.services.frozen import ROOT
from tests.services.room import Room

LIMIT = 16_000_000


@pytest.fixture(scope="module")
def tree(agent_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("installed")
    subprocess.run([agent_file, "install", directory], check=True, capture_output=True)
    (found,) = directory.glob(".attune-agent-*")
    return found


@pytest.fixture(scope="module")
def modules(tree: Path) -> set[str]:
    reader = CArchiveReader(str(tree / "attune-agent"))
    (archive,) = (name for name in reader.toc if name.endswith(".pyz"))
    return set(reader.open_embedded_archive(archive).toc)


def test_it_is_small(agent_file: Path) -> None:
    assert agent_file.stat().st_size <= LIMIT


def test_only_what_the_agent_needs_is_in_it(modules: set[str]) -> None:
    assert "agent.worker.service" in modules
    tops = {name.partition(".")[0] for name in modules}
    assert tops.isdisjoint({"rich", "click", "pytest", "tests", "unittest", "pip", "setuptools", "multiprocessing"})
    assert not {name for name in modules if name.startswith(("agent.control", "agent.cli.operator"))}


def test_nothing_is_missing_in_an_empty_container(room: Room, agent_file: Path) -> None:
    room.put(agent_file, "/attune-agent")
    (room.root / "tmp").mkdir()
    done = room.run("/attune-agent", "doctor", "--json")
    found = {item["check"]: item for item in json.loads(done.stdout)["findings"]}
    assert found["libraries"]["verdict"] == "ok", found["libraries"]
    assert found["program"]["verdict"] == "ok", found["program"]
    assert "cacert.pem" in found["tls"]["detail"]
    assert "binary" in found["libraries"]["detail"]


def test_it_speaks_utf_8_whatever_the_locale(agent_file: Path, tmp_path: Path) -> None:
    subprocess.run([agent_file, "install", tmp_path], check=True, capture_output=True)
    done = subprocess.run(
        [tmp_path / "attune-agent", "Grüße"], env={"LC_ALL": "POSIX"}, capture_output=True, check=False
    )
    assert "unknown command Grüße".encode() in done.stderr


def test_it_finds_names_in_etc_hosts_without_nsswitch(room: Room, agent_file: Path) -> None:
    room.put(agent_file, "/attune-agent")
    (room.root / "tmp").mkdir()
    (room.root / "etc").mkdir()
    (room.root / "etc" / "hosts").write_text("192.0.2.7 database.example\n")
    url = {"ATTUNE__DATABASE__URL": "postgresql://u@database.example:1/d?connect_timeout=2&hostaddr=127.0.0.1"}
    done = room.run("/attune-agent", "doctor", "--json", env=url)
    found = {item["check"]: item for item in json.loads(done.stdout)["findings"]}
    assert found["dns database"]["detail"] == "database.example is 192.0.2.7"


@pytest.mark.parametrize("path", ["etc/pki/tls/certs/ca-bundle.crt", "etc/ssl/ca-bundle.pem", "etc/ssl/cert.pem"])
def test_it_takes_the_systems_authorities(room: Room, agent_file: Path, tree: Path, path: str) -> None:
    room.put(agent_file, "/attune-agent")
    (room.root / "tmp").mkdir()
    (room.root / path).parent.mkdir(parents=True)
    (room.root / path).write_bytes((tree / "cacert.pem").read_bytes())
    done = room.run("/attune-agent", "doctor", "--json")
    found = {item["check"]: item for item in json.loads(done.stdout)["findings"]}
    assert found["tls"]["detail"] == f"authorities come from /{path}"


def test_the_boot_loader_neither_starts_itself_again_nor_sets_a_library_path(tree: Path, tmp_path: Path) -> None:
    """The launcher relies on two private variables of PyInstaller: an upgrade must not change them unnoticed."""
    trace = tmp_path / "trace"
    names = ("ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1")
    loader = next(tree / "libc" / name for name in names if (tree / "libc" / name).exists())
    command = [loader, "--inhibit-cache", "--library-path", f"{tree}/libc:{tree}/_internal", tree / "attune-agent"]
    interpreter = tmp_path / "python3"
    interpreter.write_text(f'#!/bin/sh\ncat "/proc/$PPID/environ" > {trace}; echo Python 3.11.2\n')
    interpreter.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "_PYI_ARCHIVE_FILE": f"{tree}/attune-agent",
        "_PYI_PARENT_PROCESS_LEVEL": "0",
    }
    subprocess.run([*command, "--detect-only"], env=environment, check=True, capture_output=True)
    seen = dict(word.split("=", 1) for word in trace.read_text().rstrip("\0").split("\0"))
    assert seen == environment  # the environment of the first exec: there was no second one


@pytest.mark.skipif("ATTUNE_TEST_AGENT" in os.environ, reason="somebody else built the agent that is tested")
def test_two_builds_are_equal_byte_for_byte(agent_file: Path, tmp_path: Path) -> None:
    python = ROOT / "var" / "build" / "venv" / "bin" / "python"
    for step in (["freeze.py", tmp_path / "tree"], ["pack.py", tmp_path / "tree", tmp_path / "attune-agent"]):
        subprocess.run([python, ROOT / "build" / step[0], *step[1:]], check=True, capture_output=True)
    assert (tmp_path / "attune-agent").read_bytes() == agent_file.read_bytes()


def test_timers_know_time_zones_in_an_empty_container(room: Room, agent_file: Path) -> None:
    room.put(agent_file, "/attune-agent")
    (room.root / "tmp").mkdir()
    rule = {
        "id": 1,
        "ref": "p.r",
        "trigger_ref": "core.crontimer",
        "config": {"expression": "0 0 * * *", "timezone": "Europe/Berlin"},
    }
    environment = {
        "ATTUNE_API_URL": "http://127.0.0.1:1",
        "ATTUNE_API_TOKEN": "none",
        "ATTUNE_SENSOR_REF": "core.timer_sensor",
        "ATTUNE_SENSOR_TRIGGERS": json.dumps([rule]),
    }
    command = room.command(["/attune-agent", "timer"])
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = next(line for line in process.stderr if "p.r" in line)
        finally:
            process.kill()
    assert json.loads(said)["message"] == "timer set"
