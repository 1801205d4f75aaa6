"""A program in each language that uses a library of its pack: built once, on a pack that nobody may write to."""

from __future__ import annotations

import gzip
import importlib.util
import io
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.db.pool import Database
from agent.packs.loader import register
from agent.packs.parser import read_pack
from agent.packs.registered import registered_runtimes
from agent.settings import DatabaseSettings
from tests.integration.environment_site import share_go_cache
from tests.integration.language_packs import read_only, state
from tests.packs import SHIPPED
from tests.services.availability import unavailable
from tests.services.deployment import Deployment, running_deployment

pytestmark = pytest.mark.postgres

PACK = SHIPPED / "libraries"
#: Where Debian keeps Maven's plugins.
MAVEN = Path("/usr/share/maven-repo")
#: What has to be there beside the interpreter.
INSTALLERS = {
    "python": "python3",
    "node": "npm",
    "ruby": "bundle",
    "go": "go",
    "java": "mvn",
    "perl": "cpanm",
    "r": "Rscript",
}


@pytest.fixture(scope="module")
def deployment(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """An agent that has the pack; all its executions are begun at once."""
    with running_deployment(request, "database") as laid_out:
        shutil.copytree(PACK, laid_out.packs / "libraries")
        read_only(laid_out.packs / "libraries")
        share_go_cache(laid_out.directory / "envs")
        database = Database(DatabaseSettings(url=laid_out.database_url), application_name="attune-tests")
        register(database, read_pack(PACK, registered_runtimes(database)))
        database.close()
        laid_out.start_agent(ATTUNE__NETWORK__MAVEN_MIRROR=MAVEN.as_uri())
        yield laid_out


@pytest.mark.parametrize(
    "language", [pytest.param(language, marks=pytest.mark.language(language)) for language in INSTALLERS]
)
def test_a_program_uses_the_library_that_its_manifest_names(deployment: Deployment, language: str) -> None:
    if shutil.which(INSTALLERS[language]) is None or (language == "java" and not MAVEN.exists()):
        unavailable(f"{INSTALLERS[language]} with what it needs", "run scripts/services.sh")
    done = deployment.run(f"libraries.slug_{language}", {"title": "  It's 5 o'clock -- somewhere!"}, timeout=180)
    assert done.status == "completed", done.result
    assert done.result["data"] == {"slug": "it-s-5-o-clock-somewhere", "library": "1.0"}
    assert state(deployment.packs / "libraries") == state(PACK), "the pack stays as it is"


@pytest.mark.language("java")
def test_the_archives_of_the_pack_are_made_of_its_sources() -> None:
    if shutil.which("javac") is None:
        unavailable("javac", "install default-jdk-headless")
    place = Path(__file__).parents[3] / "scripts/libraries.py"
    spec = importlib.util.spec_from_file_location("libraries", place)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    made = script.archives()
    assert {name: content(name, data) for name, data in made.items()} == {
        name: content(name, (PACK / name).read_bytes()) for name in made
    }


def content(name: str, archive: bytes) -> bytes | list[str]:
    """Return what no compression and no compiler makes different."""
    if name.endswith(".jar"):
        return zipfile.ZipFile(io.BytesIO(archive)).namelist()
    return gzip.decompress(archive) if name.endswith(".gz") else archive
