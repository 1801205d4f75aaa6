"""An environment is built by a user whom the machine does not know, who has no home and owns nothing of the pack."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.environment_site import Site
from tests.integration.language_bench import LANGUAGES, Bench
from tests.integration.language_packs import read_only, state
from tests.packs import SHIPPED
from tests.services.availability import unavailable
from tests.services.users import as_user

#: Nobody's number: it has no name, group or home.
STRANGER = 54321
MAVEN = Path("/usr/share/maven-repo")


@pytest.fixture
def site() -> Iterator[Site]:
    """Below no directory that only root may enter."""
    if os.geteuid() != 0:
        unavailable("another user", "run as root")
    root = Path(tempfile.mkdtemp(prefix="attune-users-"))  # pytest's own directory is closed to others
    made = Site(root)
    root.chmod(0o755)
    made.envs.mkdir()
    os.chown(made.envs, STRANGER, STRANGER)
    yield made
    shutil.rmtree(root, ignore_errors=True)


@pytest.mark.parametrize(
    "language",
    [pytest.param(name, marks=pytest.mark.language(name)) for name in LANGUAGES if name not in ("php", "go")],
)
def test_a_stranger_without_a_home_builds_and_leaves_the_pack_alone(site: Site, language: str) -> None:
    pack = site.packs / "one"
    shutil.copytree(SHIPPED / "libraries", pack)
    before = state(read_only(pack))
    bench = Bench(LANGUAGES[language], site)
    child = [sys.executable, "-m", "tests.children.ensure_environment"]
    command = [*child, str(site.envs), str(site.packs), "one", json.dumps(bench.config()), bench.interpreter]
    done = subprocess.run(
        as_user(STRANGER, [*command, MAVEN.as_uri()]),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
        cwd="/",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.removeprefix("ready\n").startswith(str(site.envs)), done.stdout
    assert state(pack) == before
    strays = [path for path in Path("/").iterdir() if path.name == "?"]
    assert strays == []
    owners = {path.lstat().st_uid for path in (site.envs / "one").rglob("*")}
    assert owners == {STRANGER}
