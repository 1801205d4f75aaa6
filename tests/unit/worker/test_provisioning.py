"""What is prepared ahead of need, and how often versions are verified again."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from agent.errors import DatabaseError, EnvironmentFailed
from agent.mq.messages import (
    EnvironmentRebuildRequested,
    RuntimeVerifyRequested,
    decode_pack_event,
)
from agent.mq.outgoing_messages import environment_rebuild_requested
from agent.worker.provisioning import Provisioner


class Versions:
    """Notes each verification; the first fails."""

    def __init__(self, enough: int) -> None:
        self.times = 0
        self.enough = enough
        self.seen = threading.Event()

    def verify(self, runtimes: Any) -> list[Any]:
        self.times += 1
        if self.times >= self.enough:
            self.seen.set()
        if self.times == 1:
            raise DatabaseError("away")
        return []


class Registry:
    """Has no runtime."""

    usable = ()

    def refresh(self) -> None:
        pass


def provisioner(versions: Versions, **options: Any) -> Provisioner:
    unused: Any = None
    return Provisioner(Registry(), versions, unused, unused, threading.Event(), **options)  # type: ignore[arg-type]


def test_versions_are_verified_again_and_again_when_an_operator_wants_it() -> None:
    versions = Versions(enough=3)
    made = provisioner(versions, verify_every=0.01)
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        assert versions.seen.wait(30), "also after a failure"
    finally:
        made.stop()
        thread.join(30)
    assert not thread.is_alive()


def test_without_that_nothing_is_verified_until_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = Versions(enough=1)
    made = provisioner(versions)
    waits: list[float | None] = []

    class Tasks:
        def get(self, timeout: float | None) -> None:
            waits.append(timeout)

    monkeypatch.setattr(made, "_tasks", Tasks())
    made.run()
    assert waits == [None]
    assert versions.times == 0


def test_whoever_asks_for_a_verification_gets_one() -> None:
    versions = Versions(enough=2)
    made = provisioner(versions)
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        for _ in range(2):
            made.pack_event(RuntimeVerifyRequested("core.python"))
        assert versions.seen.wait(30), "also after a failure"
    finally:
        made.stop()
        thread.join(30)
    assert versions.times == 2


def test_every_environment_of_a_pack_is_built_anew_also_after_one_that_fails() -> None:
    done: list[tuple[str, float | None]] = []
    seen = threading.Event()

    class Needs:
        def of(self, pack_ref: str | None) -> list[str]:
            return [f"{pack_ref}/python", f"{pack_ref}/node"]

    class Environments:
        def rebuild(self, request: str, *, asked_at: float | None) -> bool:
            done.append((request, asked_at))
            if len(done) == 1:
                raise EnvironmentFailed("no luck", step="install")
            seen.set()
            return True

    parts: Any = (Registry(), Versions(1), Environments(), Needs())
    made = Provisioner(*parts, threading.Event())
    thread = threading.Thread(target=made.run)
    thread.start()
    at = datetime(2026, 11, 27, 10, 0, 0, 250_000, tzinfo=UTC)
    event = decode_pack_event(environment_rebuild_requested(7, "tools", at=at).body)
    assert event == EnvironmentRebuildRequested("tools", at)
    try:
        made.pack_event(event)
        assert seen.wait(30)
    finally:
        made.stop()
        thread.join(30)
    assert done == [("tools/python", at.timestamp()), ("tools/node", at.timestamp())]
