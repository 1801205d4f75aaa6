"""Rows of ``pack_environment``: who may build, what came of it, and that the database is never in the way."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from agent.db.pool import Database
from agent.environments.layout import Layout
from agent.environments.lease import Lease
from agent.environments.model import EnvironmentRequest
from agent.environments.scan import scan
from agent.environments.store import Built, EnvironmentRecord, EnvironmentStore
from agent.errors import EnvironmentFailed
from agent.settings import DatabaseSettings
from tests.integration.environment_site import Site, quick_config
from tests.services.waiting import until

pytestmark = pytest.mark.postgres


@dataclasses.dataclass
class World:
    """One pack, one runtime with a version, two workers."""

    database: Database
    pack: int
    runtime: int
    version: int
    me: int
    other: int

    def one(self, statement: str, *values: Any) -> Any:
        with self.database.connection() as connection:
            return connection.execute(statement.encode(), values).fetchone()

    def row(self) -> dict[str, Any]:
        names = (
            "status",
            "env_path",
            "manifest_checksum",
            "claimed_by_worker",
            "claim_expires_at",
            "install_error",
            "installed_at",
            "last_verified",
            "env_key",
            "metadata",
        )
        return dict(zip(names, self.one(f"SELECT {', '.join(names)} FROM pack_environment"), strict=True))

    def expire_claim(self) -> None:
        self.one("UPDATE pack_environment SET claim_expires_at = now() - interval '1 second' RETURNING id")


@pytest.fixture
def world(database: Database) -> World:
    world = World(database, 0, 0, 0, 0, 0)
    (world.pack,) = world.one("INSERT INTO pack (ref, label, version) VALUES ('env_plain', 'x', '1.0.0') RETURNING id")
    (world.runtime,) = world.one(
        "INSERT INTO runtime (ref, name, distributions) VALUES ('test.python', 'Python', '{}') RETURNING id"
    )
    (world.version,) = world.one(
        "INSERT INTO runtime_version (runtime, runtime_ref, version) VALUES (%s, 'test.python', '3.12') RETURNING id",
        world.runtime,
    )
    for name in ("me", "other"):
        (worker,) = world.one(
            "INSERT INTO worker (name, worker_type, worker_role) VALUES (%s, 'local', 'action') RETURNING id", name
        )
        setattr(world, name, worker)
    return world


@pytest.fixture
def store(world: World) -> EnvironmentStore:
    return EnvironmentStore(world.database)


def record(world: World, **changes: Any) -> EnvironmentRecord:
    known = EnvironmentRecord(
        world.pack, "env_plain", world.runtime, "test.python", None, None, "/envs/env_plain/python", "a" * 64
    )
    return dataclasses.replace(known, **changes)


def test_one_row_per_pack_runtime_and_version(world: World, store: EnvironmentStore) -> None:
    first = store.upsert(record(world))
    assert (first.status, first.manifest_checksum) == ("pending", "a" * 64)
    assert store.upsert(record(world)).id == first.id
    version = store.upsert(record(world, runtime_version=world.version, runtime_version_text="3.12"))
    assert version.id != first.id
    assert world.one("SELECT env_key FROM pack_environment WHERE id = %s", version.id) == (
        f"version:{world.pack}:{world.runtime}:{world.version}",
    )


def test_a_claim_excludes_others_until_it_expires(world: World, store: EnvironmentStore) -> None:
    row = store.upsert(record(world))
    assert store.claim(row.id, world.me)
    assert not store.claim(row.id, world.other)
    assert not store.renew(row.id, world.other)
    assert store.renew(row.id, world.me)
    left = world.one("SELECT extract(epoch FROM claim_expires_at - now()) FROM pack_environment")[0]
    assert 290 < left <= 300
    world.expire_claim()
    assert store.claim(row.id, world.other)
    assert not store.ready(row.id, world.me, "a" * 64, Built(1, 0.1))
    assert not store.failed(row.id, world.me, "mine")
    assert world.row()["claimed_by_worker"] == world.other


def test_success_and_failure_end_the_claim(world: World, store: EnvironmentStore) -> None:
    row = store.upsert(record(world))
    store.claim(row.id, world.me)
    assert store.failed(row.id, world.me, "no such\0package")
    failed = world.row()
    assert (failed["status"], failed["install_error"]) == ("failed", "no suchpackage")
    assert (failed["claimed_by_worker"], failed["claim_expires_at"]) == (None, None)
    assert store.claim(row.id, world.other)
    assert world.row()["install_error"] is None
    assert store.ready(row.id, world.other, "a" * 64, Built(1, 0.1))
    ready = world.row()
    assert (ready["status"], ready["claimed_by_worker"]) == ("ready", None)
    assert ready["installed_at"] == ready["last_verified"] is not None
    assert not store.claim(row.id, world.me)


@pytest.mark.parametrize(
    "change", [{"manifest_checksum": "b" * 64}, {"env_path": "/elsewhere"}, {"manifest_checksum": None}]
)
def test_another_manifest_or_path_makes_it_outdated(
    world: World, store: EnvironmentStore, change: dict[str, Any]
) -> None:
    row = store.upsert(record(world))
    store.claim(row.id, world.me)
    store.ready(row.id, world.me, "a" * 64, Built(1, 0.1))
    assert store.upsert(record(world)).status == "ready"
    changed = store.upsert(record(world, **change))
    assert (changed.id, changed.status) == (row.id, "outdated")
    assert changed.manifest_checksum == change.get("manifest_checksum", "a" * 64)


def test_who_is_installing_may_finish_when_the_manifest_changes(world: World, store: EnvironmentStore) -> None:
    row = store.upsert(record(world))
    store.claim(row.id, world.me)
    assert store.upsert(record(world, manifest_checksum="b" * 64)).status == "installing"
    assert world.row()["claimed_by_worker"] == world.me
    world.expire_claim()
    assert store.upsert(record(world, manifest_checksum="c" * 64)).status == "outdated"
    assert world.row()["claimed_by_worker"] is None


def test_a_lease_is_renewed_while_it_is_held(world: World, tmp_path: Path) -> None:
    store = EnvironmentStore(world.database, lease=60.0)
    row = store.upsert(record(world))
    store.claim(row.id, world.me)
    (before,) = world.one("SELECT claim_expires_at FROM pack_environment")
    with Lease(store, row.id, world.me, renew_every=0.05).held("a" * 64, Layout(tmp_path, "p", "python")):
        until(lambda: world.row()["claim_expires_at"] > before)
    assert world.row()["status"] == "ready"
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("environment-lease")]


def request_of(site: Site, world: World, *install: str) -> Any:
    site.pack("env_plain") if not (site.packs / "env_plain").exists() else None
    (site.packs / "env_plain" / "manifest.txt").write_text("x")
    return site.request(
        "env_plain", quick_config(*install), pack_id=world.pack, runtime_id=world.runtime, runtime_ref="test.python"
    )


def test_a_build_that_an_execution_needed_is_recorded(tmp_path: Path, world: World, store: EnvironmentStore) -> None:
    site = Site(tmp_path)
    manager = site.new_manager(store=store, worker_id=lambda: world.me)
    seen = tmp_path / "seen"
    request = request_of(site, world, "sh", "-c", f"until [ -e '{seen}' ]; do sleep 0.02; done")
    building = threading.Thread(target=manager.ensure, args=(request,))
    building.start()
    until(lambda: world.one("SELECT 1 FROM pack_environment WHERE status = 'installing'") is not None)
    assert world.row()["claimed_by_worker"] == world.me
    seen.touch()
    building.join(60)
    row = world.row()
    assert row["status"] == "ready"
    assert row["env_path"] == str(site.envs / "env_plain" / "python")
    assert row["manifest_checksum"] == manager.fingerprint(request).manifest_checksum


def test_size_time_and_worker_of_a_build_are_kept_and_its_last_use_is_noted(
    tmp_path: Path, world: World, store: EnvironmentStore
) -> None:
    site = Site(tmp_path)
    manager = site.new_manager(store=store, worker_id=lambda: world.me)
    used: list[EnvironmentRequest] = []
    manager.on_use = used.append
    request = request_of(site, world, "true")
    manager.ensure(request)
    assert used == []
    for _ in range(3):
        manager.ensure(request)
    assert used == [request]
    kept = world.row()["metadata"]
    assert kept["worker"] == world.me
    assert kept["bytes"] > 0
    assert kept["seconds"] >= 0
    manager.record_use(request)
    assert set(world.row()["metadata"]) == {"worker", "bytes", "seconds", "last_used"}


def test_a_rebuild_is_recorded_and_done_once_on_one_volume(
    tmp_path: Path, world: World, store: EnvironmentStore
) -> None:
    site = Site(tmp_path)
    manager = site.new_manager(store=store, worker_id=lambda: world.me)
    beside = site.new_manager(store=store, worker_id=lambda: world.other)
    request = request_of(site, world, "true")
    before = manager.ensure(request)
    asked = time.time()
    assert manager.rebuild(request, asked_at=asked)
    assert world.row()["metadata"]["worker"] == world.me
    assert not beside.rebuild(request, asked_at=asked), "it was built since somebody asked"
    assert world.row()["metadata"]["worker"] == world.me
    assert world.row()["status"] == "ready"
    assert manager.ensure(request).env_dir != before.env_dir
    failing = request_of(site, world, "sh", "-c", "exit 1")
    with pytest.raises(EnvironmentFailed):
        beside.rebuild(failing)
    assert world.row()["status"] == "failed"
    assert manager.ensure(request).env_dir is not None


def test_a_failed_build_is_recorded_with_its_reason(tmp_path: Path, world: World, store: EnvironmentStore) -> None:
    site = Site(tmp_path)
    manager = site.new_manager(store=store, worker_id=lambda: world.me)
    with pytest.raises(EnvironmentFailed):
        manager.ensure(request_of(site, world, "sh", "-c", "echo no luck >&2; exit 1"))
    assert world.row()["status"] == "failed"
    assert "no luck" in world.row()["install_error"]


def test_an_execution_builds_although_another_worker_has_the_claim(
    tmp_path: Path, world: World, store: EnvironmentStore
) -> None:
    site = Site(tmp_path)
    manager = site.new_manager(store=store, worker_id=lambda: world.me)
    request = request_of(site, world, "true")
    claimed = store.upsert(
        record(
            world,
            env_path=str(site.envs / "env_plain/python"),
            manifest_checksum=manager.fingerprint(request).manifest_checksum,
        )
    )
    assert store.claim(claimed.id, world.other)
    assert manager.ensure(request).env_dir is not None
    assert (world.row()["status"], world.row()["claimed_by_worker"]) == ("installing", world.other)


def test_an_execution_builds_although_the_database_is_away(tmp_path: Path) -> None:
    site = Site(tmp_path)
    away = Database(
        DatabaseSettings(url="postgresql://nobody@127.0.0.1:1/none", connect_timeout=1), application_name="tests"
    )
    manager = site.new_manager(store=EnvironmentStore(away), worker_id=lambda: 1)
    world = World(away, 1, 1, 1, 1, 1)
    request = request_of(site, world, "true")
    assert manager.ensure(request).env_dir is not None
    assert scan(manager, [dataclasses.replace(request, dir_name="python-3.12")]).created == ["env_plain/python-3.12"]
    away.close()


def test_a_scan_claims_builds_and_skips_what_is_ready(tmp_path: Path, world: World, store: EnvironmentStore) -> None:
    site = Site(tmp_path)
    manager = site.new_manager(store=store, worker_id=lambda: world.me)
    request, pauses = request_of(site, world, "true"), list[float]()
    assert scan(manager, [request], pause=pauses.append).created == ["env_plain/python"]
    assert world.row()["status"] == "ready"
    assert scan(manager, [request], pause=pauses.append).skipped == ["env_plain/python"]
    assert len(pauses) == 1
    assert 0.1 <= pauses[0] < 0.5
    (site.packs / "env_plain" / "manifest.txt").write_text("y")
    assert scan(manager, [request], pause=pauses.append).created == ["env_plain/python"]


def test_a_scan_on_a_volume_of_its_own_builds_what_is_ready_elsewhere(
    tmp_path: Path, world: World, store: EnvironmentStore
) -> None:
    site = Site(tmp_path)
    manager = site.new_manager(store=store, worker_id=lambda: world.me)
    request = request_of(site, world, "true")
    scan(manager, [request], pause=lambda _: None)
    manager.remove("env_plain")
    assert scan(manager, [request], pause=lambda _: None).created == ["env_plain/python"]
    assert world.row()["status"] == "ready"


def test_a_scan_leaves_to_another_worker_what_that_one_has_claimed(
    tmp_path: Path, world: World, store: EnvironmentStore
) -> None:
    site = Site(tmp_path)
    mine = site.new_manager(store=store, worker_id=lambda: world.me)
    request = request_of(site, world, "true")
    row = store.upsert(
        record(
            world,
            env_path=str(site.envs / "env_plain/python"),
            manifest_checksum=mine.fingerprint(request).manifest_checksum,
        )
    )
    store.claim(row.id, world.other)
    pauses: list[float] = []
    assert scan(mine, [request], pause=pauses.append).skipped == ["env_plain/python"]
    assert len(pauses) == 3
    assert not (site.envs / "env_plain/python").exists()


def test_a_scan_tries_a_failing_environment_three_times(tmp_path: Path, world: World, store: EnvironmentStore) -> None:
    site, tries = Site(tmp_path), tmp_path / "tries"
    manager = site.new_manager(store=store, worker_id=lambda: world.me)
    request = request_of(site, world, "sh", "-c", f"echo try >> '{tries}'; echo no luck >&2; exit 1")
    summary = scan(manager, [request], pause=lambda _: None)
    assert len(summary.errors) == 1
    assert "no luck" in summary.errors[0]
    assert tries.read_text() == "try\n" * 3
    assert world.row()["status"] == "failed"
