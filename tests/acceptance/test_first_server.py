"""What the documents tell a newcomer, word for word: server and worker on PostgreSQL alone, an execution over HTTP."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.command import ROOT, argv, environment
from tests.services.availability import unavailable
from tests.services.ports import free_ports

pytestmark = pytest.mark.postgres

PAGE = ROOT / "docs" / "how-to" / "run-the-server.md"
PASSWORD = "a password of a newcomer"


def commands(directory: Path) -> Path:
    """A directory with the commands that `pip install` would have put on the path."""
    directory.mkdir()
    for program in ("attune", "attune-agent"):
        python, option, code = argv(program)
        (directory / program).write_text(f'#!/bin/sh\nexec "{python}" {option} "{code}" "$@"\n')
        (directory / program).chmod(0o755)
    return directory


def script(database_url: str, port: int) -> str:
    """What the page says up to its first further heading, on this database and port."""
    page = PAGE.read_text(encoding="utf-8").partition("\n## ")[0]
    text = "".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL))
    worker, server = "ATTUNE__MESSAGE_QUEUE__URL=database attune-agent", "attune server &\n"
    for said, meant in (
        ("pip install '.[server]'", "true"),
        ("postgresql://attune:secret@localhost/attune", f"'{database_url}'"),
        (f"{worker}\n", f"{worker} &\n"),
        (server, f"{server}until curl -so /dev/null localhost:8080/health; do sleep 0.1; done\n"),
        ('"password": "..."', f'"password": "{PASSWORD}"'),
    ):
        assert text.count(said) == 1, f"the page has changed: {said}"
        text = text.replace(said, meant)
    assert "localhost:8080" in text
    return text.replace("localhost:8080", f"127.0.0.1:{port}")


def test_server_and_worker_start_from_nothing_and_an_execution_is_followed(
    empty_database_url: str, tmp_path: Path
) -> None:
    for program in ("bash", "curl", "jq", "openssl"):
        if shutil.which(program) is None:
            unavailable(program, f"install the package {program}")
    (port,) = free_ports(1)
    settings = {
        "PATH": f"{commands(tmp_path / 'bin')}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "ATTUNE__SERVER__PORT": str(port),
        "ATTUNE__SERVER__HOST": "127.0.0.1",
        "ATTUNE__PACKS_BASE_DIR": str(tmp_path / "packs"),
        "ATTUNE__RUNTIME_ENVS_DIR": str(tmp_path / "envs"),
        "ATTUNE__ARTIFACTS_DIR": str(tmp_path / "artifacts"),
        "ATTUNE_WORKER_RUNTIMES": "shell",
    }
    place = tmp_path / "clean"
    place.mkdir()
    ended = "trap 'kill $(jobs -p); wait' EXIT\n"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", ended + script(empty_database_url, port)],
        cwd=place, env=environment(settings), input=PASSWORD + "\n", capture_output=True, text=True, timeout=180,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    followed, _, result = done.stdout.partition('"completed"\n')
    assert "data: hello" in followed
    assert "event: done" in followed
    assert json.loads(result)["exit_code"] == 0, done.stdout
