"""Which version an execution gets on a machine that has several Pythons, and the environment that belongs to it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.language_packs import python_pack
from tests.services.availability import unavailable
from tests.services.deployment import Deployment, running_deployment

pytestmark = pytest.mark.postgres

SHOW = (
    "import attune_greeting, json, sys\n"
    "print(json.dumps([attune_greeting.TEXT, '.'.join(map(str, sys.version_info[:2])), sys.prefix]))\n"
)


def pythons() -> dict[str, str]:
    """Return the folder of each Python that this machine has on PATH or from pyenv, by ``3.12``; the newest last."""
    places = [*os.environ["PATH"].split(os.pathsep), *map(str, Path.home().glob(".pyenv/versions/*/bin"))]
    found: dict[str, str] = {}
    for place in places:
        for path in Path(place).glob("python3.*"):
            match = re.fullmatch(r"python(3\.(\d+))", path.name)
            if match and int(match[2]) >= 9 and "shims" not in path.parts and "venv" not in str(path):
                found.setdefault(match[1], place)
    return dict(sorted(found.items(), key=lambda item: int(item[0][2:])))


@pytest.fixture(scope="module")
def versions() -> list[str]:
    """The versions of this machine, at least two."""
    found = list(pythons())
    if len(found) < 2:
        unavailable("a second Python", "install one more, for instance with pyenv")
    return found


@pytest.fixture(scope="module")
def deployment(request: pytest.FixtureRequest, versions: list[str]) -> Iterator[Deployment]:
    """An agent on a machine with all of them; the oldest comes first on PATH."""
    with running_deployment(request, "database") as laid_out:
        python_pack(laid_out.packs / "seed", "1.0")
        folders = dict.fromkeys(pythons().values())
        # The image names another Python's home, which the agent's own Python would obey: as the launcher hands it on.
        image = {"ATTUNE_LAUNCHER_ENV_PYTHONHOME": "/other/python", "PIP_TARGET": str(laid_out.directory / "elsewhere")}
        laid_out.start_agent(PATH=os.pathsep.join([*folders, "/usr/bin", "/bin"]), **image)
        newest, second = versions[-1], versions[-2]
        for name, wanted in (("newest", f">={second}"), ("second", f"~{second}"), ("none", ">=4")):
            laid_out.add_action(
                f"seed.{name}", SHOW, runtime="core.python", output_format="json", runtime_version_constraint=wanted
            )
        assert newest != second
        yield laid_out


@pytest.mark.parametrize(("action", "place"), [("newest", -1), ("second", -2)])
def test_an_action_runs_on_the_newest_version_that_its_constraint_allows_with_its_dependencies(
    deployment: Deployment, versions: list[str], action: str, place: int
) -> None:
    done = deployment.run(f"seed.{action}", timeout=120)
    assert done.status == "completed", done.result
    greeting, version, prefix = done.result["data"]
    assert not (deployment.directory / "elsewhere").exists()
    assert (greeting, version) == ("hello from 1.0", versions[place])
    assert Path(prefix).resolve() == (deployment.directory / f"envs/seed/python-{version}").resolve()


def test_a_constraint_that_no_version_meets_fails_and_says_what_was_found(
    deployment: Deployment, versions: list[str]
) -> None:
    done = deployment.run("seed.none")
    assert done.status == "failed"
    assert "no version of Python on this machine meets '>=4'; found: " in done.result["error"]
    for version in versions:
        assert re.search(rf"\b{re.escape(version)}(\.\d+)?\S* \(/", done.result["error"]), done.result["error"]


def test_every_version_is_advertised_and_what_no_pack_lists_gets_a_row(
    deployment: Deployment, versions: list[str]
) -> None:
    advertised = deployment.one("SELECT capabilities FROM worker")["capabilities"]["runtime_versions"]["python"]
    rows = deployment.all("SELECT version, meta FROM runtime_version WHERE runtime_ref = 'core.python'")
    by_pack = {row["version"] for row in rows if not row["meta"].get("auto_detected")}
    by_agents = {row["version"] for row in rows if row["meta"].get("auto_detected")}
    for version in versions:
        assert [text for text in advertised if text == version or text.startswith(f"{version}.")]
        assert version in by_pack or version in by_agents
    assert not by_pack & by_agents
