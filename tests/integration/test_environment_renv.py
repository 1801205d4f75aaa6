"""The real renv restores what a renv.lock names: from a repository, a mirror, or the pack itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from agent.errors import EnvironmentFailed
from tests.integration.environment_site import Site
from tests.integration.language_bench import LANGUAGES, Bench
from tests.integration.language_packs import read_only, state, write

pytestmark = pytest.mark.language("r")

NOWHERE = "https://cran.invalid"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(LANGUAGES["r"], Site(tmp_path))


def image_with(bench: Bench, library: Path) -> None:
    """Make the machine's R one that has the packages of ``library``, as an image with r-cran-renv does."""
    program = write(bench.site.root / "image", {"Rscript": "#!/bin/sh\n"}) / "Rscript"
    program.write_text(f'#!/bin/sh\nR_LIBS_SITE="{library}" exec {bench.interpreter} "$@"\n')
    program.chmod(0o755)
    bench.interpreter = str(program)


def repository(bench: Bench, pack: Path, names: str = "greeting_*") -> str:
    """Move source packages of the pack into a repository of files; return its address."""
    folder = bench.site.root / "repository/src/contrib"
    folder.mkdir(parents=True)
    for source in list((pack / "renv/cellar").glob(f"{names}.tar.gz")):
        source.rename(folder / source.name)
    command = [bench.interpreter, "-e", f'tools::write_PACKAGES("{folder}", type = "source")']
    subprocess.run(command, check=True, capture_output=True)
    return (bench.site.root / "repository").as_uri()


def lock(pack: Path, address: str) -> None:
    """Write the lock file that ``renv::snapshot()`` writes for one package of a repository."""
    record = {"Package": "greeting", "Version": "1.0", "Source": "Repository", "Repository": "CRAN"}
    own = {"Package": "renv", "Version": "1.0.7", "Source": "Repository", "Repository": "CRAN"}
    repositories = [{"Name": "CRAN", "URL": address}]
    data = {"R": {"Version": "4.2.2", "Repositories": repositories}, "Packages": {"greeting": record, "renv": own}}
    write(pack, {"renv.lock": json.dumps(data)})


def test_a_locked_package_comes_from_the_repository_that_the_lock_file_names(bench: Bench, renv: Path) -> None:
    pack = bench.pack("one", "1.0")
    lock(pack, repository(bench, pack))
    image_with(bench, renv)
    before = state(read_only(pack))
    assert bench.run("one", bench.ensure("one")) == "hello from 1.0"
    assert state(pack) == before


def test_an_operators_mirror_stands_for_the_repository_of_the_lock_file(bench: Bench, renv: Path) -> None:
    pack = bench.pack("one", "1.0")
    mirror = repository(bench, pack)
    lock(pack, NOWHERE)
    image_with(bench, renv)
    assert bench.run("one", bench.ensure("one", cran_mirror=mirror)) == "hello from 1.0"


def test_the_packs_own_source_package_is_taken_before_any_repository_is_asked(bench: Bench, renv: Path) -> None:
    lock(bench.pack("one", "1.0"), NOWHERE)
    image_with(bench, renv)
    assert bench.run("one", bench.ensure("one")) == "hello from 1.0"


@pytest.mark.parametrize("place", ["pack", "repository"])
def test_a_machine_without_renv_gets_it_from_the_pack_or_its_repository(bench: Bench, renv: Path, place: str) -> None:
    asked = subprocess.run(
        [bench.interpreter, "-e", "quit(status = nzchar(system.file(package = 'renv')))"], check=False
    )
    if asked.returncode:
        pytest.skip("this machine's R has a renv")
    pack = bench.pack("one", "1.0")
    [version] = re.findall(r"^Version: (.*)", (renv / "renv/DESCRIPTION").read_text(), re.MULTILINE)
    packed = pack / f"renv/cellar/renv_{version}.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(renv / "renv", "renv")
    lock(pack, repository(bench, pack, "*" if place == "repository" else "greeting_*"))
    assert packed.exists() is (place == "pack")
    assert bench.run("one", bench.ensure("one")) == "hello from 1.0"


def test_what_renv_can_not_have_fails_the_build_with_its_words(bench: Bench, renv: Path) -> None:
    pack = bench.pack("one", "1.0")
    lock(pack, repository(bench, pack))
    write(pack, {"renv.lock": (pack / "renv.lock").read_text().replace('"1.0"', '"7.0"')})
    image_with(bench, renv)
    with pytest.raises(EnvironmentFailed) as caught:
        bench.ensure("one")
    assert caught.value.step == "install dependencies"
    assert "greeting" in str(caught.value) and "7.0" in str(caught.value), str(caught.value)
    assert not os.path.lexists(bench.site.envs / "one/r")
