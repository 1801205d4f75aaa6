"""One real action in each language through the whole chain: dispatch, interpreter, environment, result."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent.db.pool import Database
from agent.packs.loader import register
from agent.packs.parser import read_pack
from agent.packs.registered import registered_runtimes
from agent.settings import DatabaseSettings
from tests.integration.environment_site import share_go_cache
from tests.services.agent_process import ROOT
from tests.services.availability import unavailable
from tests.services.deployment import Deployment

#: Action of the pack ``examples``, the program it needs, the Debian package of that.
LANGUAGES = {
    "shell": ("sh", "dash"),
    "python": ("python3", "python3-venv"),
    "node": ("node", "nodejs"),
    "ruby": ("ruby", "ruby"),
    "go": ("go", "golang-go"),
    "java": ("javac", "default-jdk-headless"),
    "perl": ("perl", "perl"),
    "r": ("Rscript", "r-base-core"),
}

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


@pytest.fixture(scope="module", autouse=True)
def _examples(deployment: Deployment) -> None:
    shutil.copytree(ROOT / "packs" / "examples", deployment.packs / "examples")
    database = Database(DatabaseSettings(url=deployment.database_url), application_name="attune-tests")
    register(database, read_pack(ROOT / "packs" / "examples", registered_runtimes(database)))
    database.close()
    share_go_cache(deployment.directory / "envs")


@pytest.mark.parametrize(
    "language", [pytest.param(language, marks=pytest.mark.language(language)) for language in LANGUAGES]
)
def test_an_action_in_each_language_greets(deployment: Deployment, language: str) -> None:
    program, package = LANGUAGES[language]
    if shutil.which(program) is None:
        unavailable(language, f"install the Debian package {package}")
    done = deployment.run(f"examples.hello_{language}", {"name": "O'Néil"}, timeout=90)
    assert done.status == "completed", done.result
    assert done.result["data"]["greeting"] == "Hello, O'Néil!"
    completed = deployment.messages(done.id)[-1]
    assert completed.payload["result"] == done.result


@pytest.mark.parametrize("language", ["native"])
def test_a_program_greets_without_any_interpreter(deployment: Deployment, language: str) -> None:
    done = deployment.run(f"examples.hello_{language}")
    assert done.status == "completed", done.result
    assert done.result["data"]["greeting"] == "Hello, World!"


def test_python_runs_in_an_environment_of_its_pack(deployment: Deployment) -> None:
    deployment.write("examples", "lib/greetings.py", "WORD = 'Ahoy'\n")
    script = "import sys, greetings\nprint(greetings.WORD, sys.prefix)\n"
    deployment.add_action("examples.prefix", script, runtime="core.python")
    done = deployment.run("examples.prefix", timeout=90)
    assert done.status == "completed", done.result
    word, prefix = done.result["stdout"].split()
    assert word == "Ahoy"
    environments = (deployment.directory / "envs" / "examples").glob("python*")
    assert Path(prefix).resolve() in [environment.resolve() for environment in environments]
