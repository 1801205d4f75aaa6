"""``attune env`` and ``attune runtime explain``, as an operator uses them; nobody else works on this database."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from agent.paths import shipped
from tests.acceptance.command import prepare, run
from tests.services.postgres import fresh_database

pytestmark = pytest.mark.postgres

PACKS = {
    "shelf/pack.yaml": 'ref: shelf\nlabel: Shelf\nversion: "1.0.0"\n',
    "shelf/runtimes/tree.yaml": """
ref: shelf.tree
pack_ref: shelf
name: Tree
aliases: [tree]
distributions: {verification: {always_available: true}}
execution_config:
  interpreter: {binary: /bin/sh, file_extension: .sh}
  environment: {env_type: tree, create_command: [mkdir, -p, "{env_dir}"], build_env: {TREE: "{env_dir}"}}
  dependencies: {manifest_file: install, install_command: [sh, -e, "{manifest_path}"]}
""",
    "shelf/actions/show.yaml": "ref: shelf.show\nlabel: Show\nrunner_type: tree\nentry_point: show.sh\n",
    "shelf/actions/show.sh": "true\n",
    "fresh/pack.yaml": 'ref: fresh\nlabel: Fresh\nversion: "1.0.0"\n',
    "fresh/actions/new.yaml": (
        "ref: fresh.new\nlabel: New\nrunner_type: python\nentry_point: new.py\nruntime_version: '>=3.12'\n"
    ),
    "fresh/actions/new.py": "\n",
    "plain/pack.yaml": 'ref: plain\nlabel: Plain\nversion: "1.0.0"\n',
    "plain/actions/say.yaml": "ref: plain.say\nlabel: Say\nrunner_type: shell\nentry_point: say.sh\n",
    "plain/actions/say.sh": "true\n",
    "never/pack.yaml": 'ref: never\nlabel: Never\nversion: "1.0.0"\n',
    "never/actions/run.yaml": (
        "ref: never.run\nlabel: Run\nrunner_type: python\nentry_point: run.py\nruntime_version: '>=4'\n"
    ),
    "never/actions/run.py": "\n",
    "shelf/install": 'head -c 100000 /dev/zero > "$TREE/large"\n',
}


@dataclass(frozen=True)
class Site:
    """A database with the core pack and ours, and a directory for environments."""

    settings: dict[str, str]
    url: str
    packs: Path
    envs: Path

    def attune(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``attune``."""
        return run("attune", *words, settings=self.settings)

    def listed(self) -> list[dict[str, Any]]:
        """Return what ``attune env list --json`` says of our pack."""
        found: list[dict[str, Any]] = json.loads(self.attune("env", "list", "--pack", "shelf", "--json").stdout)
        return found

    def sql(self, statement: str, *values: Any) -> None:
        """Look after the database by hand."""
        with psycopg.connect(self.url, options="-c search_path=attune") as connection:
            connection.execute(statement.encode(), values)


@pytest.fixture(scope="module")
def site(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Migrate and register."""
    directory = tmp_path_factory.mktemp("site")
    for name, text in PACKS.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with fresh_database(postgres_url, "environments") as url:
        settings = {
            "ATTUNE__DATABASE__URL": url,
            "ATTUNE__MESSAGE_QUEUE__URL": "database",
            "ATTUNE__PACKS_BASE_DIR": str(directory / "packs"),
            "ATTUNE__RUNTIME_ENVS_DIR": str(directory / "envs"),
        }
        prepare(
            settings, shipped("packs") / "core", *(directory / name for name in ("shelf", "fresh", "plain", "never"))
        )
        yield Site(settings, url, directory / "packs", directory / "envs")


@pytest.fixture
def empty(site: Site) -> Site:
    """Nothing is built."""
    assert site.attune("env", "prune", "--json").returncode == 0
    if (site.envs / "shelf").exists():
        (site.envs / "shelf").rename(site.envs / f".removed-{time.monotonic_ns()}")
    return site


def age(path: str) -> None:
    """Let a build look as if nobody had used it for a month."""
    month_ago = time.time() - 30 * 86400
    for entry in Path(path).glob(".attune*"):
        os.utime(entry, (month_ago, month_ago))


def test_building_ahead_of_need_says_what_it_does_and_does_it_once(empty: Site) -> None:
    assert "no environment has been built here" in empty.attune("env", "list", "--pack", "shelf").stdout
    done = empty.attune("env", "build", "shelf")
    assert done.returncode == 0, done.stderr
    assert "building shelf/tree in " in done.stdout and "shelf/tree: built\n" in done.stdout
    assert "shelf/tree: was there already\n" in empty.attune("env", "build", "shelf").stdout
    (item,) = empty.listed()
    assert (item["pack"], item["state"]) == ("shelf", "current")
    assert item["size"] >= 100_000 and item["last_used"]
    line = next(line for line in empty.attune("env", "list").stdout.splitlines() if line.startswith("shelf"))
    assert "0.1 MB" in line and item["path"] in line


def test_rebuilding_replaces_and_pruning_removes_what_was_replaced_when_nobody_uses_it(empty: Site) -> None:
    assert empty.attune("env", "build", "shelf").returncode == 0
    (old,) = [item["path"] for item in empty.listed()]
    assert empty.attune("env", "rebuild", "shelf").returncode == 0
    states = {item["path"]: item["state"] for item in empty.listed()}
    (new,) = set(states) - {old}
    assert (states[old], states[new]) == ("replaced", "current")
    assert empty.attune("env", "prune", "--unused-for", "0").stdout == (
        "0 removed, 0.0 MB freed\n1 replaced, 0.1 MB, may be in use and go when nobody has used them for 2 h 0 min\n"
    )
    age(old)
    done = empty.attune("env", "prune", "--unused-for", "0")
    assert done.stdout == f"removed {old} (0.1 MB)\n1 removed, 0.1 MB freed\n"
    assert not Path(old).exists() and Path(new).exists()


def test_a_budget_removes_what_was_used_longest_ago(empty: Site) -> None:
    assert empty.attune("env", "build", "shelf").returncode == 0
    for item in empty.listed():
        age(item["path"])
    done = empty.attune("env", "prune", "--max-bytes", "1", "--json")
    assert {(item["pack"], item["name"]) for item in json.loads(done.stdout)} == {("shelf", "tree")}
    assert empty.listed() == []
    assert empty.attune("env", "build", "shelf").returncode == 0


def test_the_list_says_what_each_is_how_large_and_when_it_was_used(empty: Site) -> None:
    assert empty.attune("env", "build", "shelf").returncode == 0
    assert empty.attune("env", "rebuild", "shelf").returncode == 0
    (old,) = [item["path"] for item in empty.listed() if item["state"] == "replaced"]
    age(old)
    half = empty.envs / "shelf" / ".tree.0123456789ab-abcdef"
    half.mkdir()
    compiled = empty.envs / "shelf" / ".tree.compiled" / "0123"
    compiled.mkdir(parents=True)
    (compiled / ".attune_compiled").write_bytes(bytes(300_000))
    lines = empty.attune("env", "list", "--pack", "shelf").stdout.splitlines()
    assert lines[0].split() == ["PACK", "NAME", "VERSION", "STATE", "SIZE", "LAST", "USED", "PATH"]
    told = {line.split()[-1]: line for line in lines[1:]}
    assert "replaced" in told[old].split() and "30 d 0 h ago" in told[old] and "0.1 MB" in told[old]
    assert "incomplete" in told[str(half)].split() and "0.0 MB" in told[str(half)]
    assert "compiled" in told[str(compiled)].split() and "0.3 MB" in told[str(compiled)]
    assert [line for line in told.values() if "current" in line and " s ago" in line]
    assert empty.attune("env", "list", "--pack", "nosuch").stdout == "no environment has been built here\n"


def test_a_build_that_fails_ends_with_1_and_says_what_the_installer_said(empty: Site) -> None:
    manifest = empty.packs / "shelf/install"
    before = manifest.read_text()
    manifest.write_text("echo make: command not found >&2; echo no package nosuch >&2; exit 3\n")
    try:
        done = empty.attune("env", "build", "shelf")
    finally:
        manifest.write_text(before)
    assert done.returncode == 1
    assert done.stderr.startswith("shelf/tree: install dependencies failed: ") and "no package nosuch" in done.stderr
    assert done.stderr.count("apt-get install build-essential") == 1, "the remedy"
    assert empty.listed() == []


def test_a_pack_that_needs_nothing_here_is_said(site: Site) -> None:
    done = site.attune("env", "build", "plain")
    assert (done.returncode, done.stdout) == (0, "nothing to build: no action needs an environment on this machine\n")
    for command in ("build", "rebuild"):
        done = site.attune("env", command, "nosuch")
        assert done.returncode == 1 and "there is no pack nosuch" in done.stderr


def test_what_can_not_run_on_this_machine_is_said_while_the_rest_is_built(site: Site) -> None:
    done = site.attune("env", "build", "never")
    assert done.returncode == 0
    assert "no environment of never for core.python: no version of Python on this machine meets '>=4'" in done.stdout


@pytest.fixture
def workers(site: Site) -> Iterator[None]:
    """Three workers, as they advertise themselves."""
    offers = {
        "new": {"runtime_versions": {"python": ["3.13.1", "3.12.4"]}},
        "old": {"runtime_versions": {"python": ["3.11.2"]}},
        "broken": {
            "runtime_versions": {"python": ["3.12.4"]},
            "runtime_verdicts": [{"ref": "core.python", "version": "3.12", "ok": False, "reason": "it doesn't start"}],
        },
    }
    for name, capabilities in offers.items():
        site.sql(
            "INSERT INTO worker (name, worker_type, worker_role, status, capabilities, last_heartbeat)"
            " VALUES (%s, 'local', 'action', 'active', %s, now())",
            name,
            Jsonb({"runtimes": ["python"], **capabilities}),
        )
    yield
    site.sql("DELETE FROM worker")


def explained(site: Site, *words: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code, and each worker's explanation."""
    done = site.attune("runtime", "explain", "fresh.new", *words, "--json")
    return done.returncode, {item["worker"]: item["explanation"] for item in json.loads(done.stdout)["workers"]}


@pytest.mark.usefixtures("workers")
def test_every_candidate_of_every_worker_is_explained(site: Site) -> None:
    code, found = explained(site)
    assert code == 0
    assert (found["new"]["met"], found["new"]["chosen"]) == (True, "3.13")
    assert found["new"]["conclusion"] == "Python 3.13 meets '>=3.12'"
    reasons = {candidate["version"]: candidate["reason"] for candidate in found["new"]["candidates"]}
    assert reasons["3.12"] == "3.13 is higher"
    assert reasons["3.11"] == "not here: the worker advertises 3.12.4, 3.13.1"
    assert "no version of Python on this machine meets '>=3.12'" in found["old"]["conclusion"]
    refused = {candidate["version"]: candidate["reason"] for candidate in found["broken"]["candidates"]}
    assert refused["3.12"] == "not here: it doesn't start", "a failed check outranks the version that is advertised"
    text = site.attune("runtime", "explain", "fresh.new").stdout
    assert "fresh.new wants a version that meets '>=3.12' of core.python" in text
    assert "✓ 3.13 (3.13.1)" in text


@pytest.mark.usefixtures("workers")
def test_one_worker_can_be_asked_for_and_an_unmet_constraint_is_1(site: Site) -> None:
    code, found = explained(site, "--worker", "old")
    assert (code, list(found)) == (1, ["old"])
    done = site.attune("runtime", "explain", "fresh.new", "--worker", "nosuch")
    assert done.returncode == 1 and "there is no worker nosuch" in done.stderr
    assert site.attune("runtime", "explain", "fresh.nosuch").returncode == 1


@pytest.mark.usefixtures("workers")
def test_a_run_that_no_worker_can_take_points_to_the_explanation(site: Site) -> None:
    site.sql("DELETE FROM worker WHERE name <> 'old'")
    done = site.attune("run", "fresh.new")
    assert done.returncode == 1
    assert "no worker can run fresh.new: old has python 3.11.2; >=3.12 is required" in done.stderr
    assert "hint: see: attune runtime explain fresh.new" in done.stderr


@pytest.mark.usefixtures("workers")
def test_what_an_operator_switched_off_is_explained_and_not_chosen(site: Site) -> None:
    site.sql("UPDATE runtime_version SET meta = '{\"disabled\": true}' WHERE version = '3.13'")
    try:
        code, found = explained(site, "--worker", "new")
    finally:
        site.sql("UPDATE runtime_version SET meta = '{}' WHERE version = '3.13'")
    assert (code, found["new"]["chosen"]) == (0, "3.12")
    reasons = {candidate["version"]: candidate["reason"] for candidate in found["new"]["candidates"]}
    assert reasons["3.13"] == "not here: an operator switched it off (meta.disabled)"
