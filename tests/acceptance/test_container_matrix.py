"""The whole job, or the documented failure, in every kind of container: base, user, root, /tmp, way of delivery."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.container import Site, Worker, container, install_volume, stop, wait_until_ready
from tests.services.docker import BaseImage, Engine
from tests.services.postgres import database_name, fresh_database

pytestmark = [pytest.mark.docker, pytest.mark.postgres]

BASES = ("empty", "busybox", "musl", "debian-oldest", "debian", "debian-newest")
USERS = ("0:0", "65532:65532", "1000660000:0")


@dataclass(frozen=True)
class Cell:
    """One container of the matrix."""

    base: str
    user: str
    read_only: bool
    tmp: str  # usable, noexec, absent
    installed: bool

    @property
    def program(self) -> str:
        return "/opt/attune/bin/attune-agent" if self.installed else "/single/attune-agent"

    @property
    def has_place(self) -> bool:
        """Whether any directory may be written and executed, where nothing was installed."""
        if self.user.startswith("0:"):
            return True  # /dev, at least
        if self.tmp == "usable":
            return True
        return not self.read_only and self.base.startswith("debian")  # /var/tmp

    @property
    def options(self) -> dict[str, Any]:
        tmpfs = {}
        if self.tmp == "noexec":
            tmpfs = {"/tmp": "noexec,mode=1777"}
        elif self.tmp == "usable" and self.read_only:
            tmpfs = {"/tmp": "exec,mode=1777"}
        return {"user": self.user, "read_only": self.read_only, "tmpfs": tmpfs}


@pytest.fixture(scope="module")
def installed(docker_engine: Engine, base_image: BaseImage, agent_file: Path) -> Iterator[str]:
    """A volume into which the agent was installed."""
    volume = docker_engine.client.volumes.create("attune-agent-matrix")
    assert "installed in" in install_volume(docker_engine, base_image("empty"), agent_file, volume.name)
    yield volume.name
    volume.remove(force=True)


@pytest.fixture(scope="module")
def packs_template(docker_engine: Engine, postgres_url: str, migrated_template: str) -> Iterator[str]:
    """The name of a database with the core pack, to be copied for each cell."""
    with fresh_database(postgres_url, "matrix", template=migrated_template) as url:
        Site(docker_engine, url).register("core")
        yield database_name(url)


@pytest.mark.parametrize("base", BASES)
def test_every_cell_does_the_whole_job_or_names_why_not(
    base: str,
    docker_engine: Engine,
    base_image: BaseImage,
    agent_file: Path,
    installed: str,
    postgres_url: str,
    packs_template: str,
) -> None:
    cells = [
        Cell(base, *rest)
        for rest in itertools.product(USERS, (False, True), ("usable", "noexec", "absent"), (True, False))
    ]
    images = {tmp: base_image(base, tmp=tmp != "absent") for tmp in ("usable", "noexec", "absent")}

    def judge(cell: Cell) -> str | None:
        with fresh_database(postgres_url, "cell", template=packs_template) as url:
            try:
                check(cell, Site(docker_engine, url), images[cell.tmp], agent_file, installed)
            except AssertionError as error:
                return f"{cell}: {error}"
        return None

    with ThreadPoolExecutor(4) as pool:
        failures = [failure for failure in pool.map(judge, cells) if failure is not None]
    assert failures == []


def check(cell: Cell, site: Site, image: str, agent_file: Path, installed: str) -> None:
    mounts = [f"{installed}:/opt/attune/bin:ro"] if cell.installed else [f"{agent_file}:{cell.program}:ro"]
    worker = Worker(image, cell.program, options={**cell.options, "volumes": mounts})
    with container(site, worker) as made:
        if not cell.installed and not cell.has_place:
            assert made.wait(timeout=60)["StatusCode"] == 120, made.logs().decode()
            assert "no directory where it may write and execute" in made.logs().decode()
            return
        wait_until_ready(site, worker, made)
        if cell.base != "empty":
            execution = site.action("core.echo", "--param", "message=hello")
            assert execution["status"] == "completed", execution
        code = stop(made)
        assert code == 0, made.logs().decode()
        assert site.worker_status(worker.name) == "inactive"
