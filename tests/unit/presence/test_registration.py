"""One process at a time has a worker's name: it holds a lock, takes it back when it was lost, and yields to another."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest

from agent.db import named_statements
from agent.errors import ConfigurationError, DatabaseUnavailable, WorkerNameTaken
from agent.presence import registration as registration_module
from agent.presence.identity import Identity
from agent.presence.registration import Registered, Registration
from tests.unit.fakes.clock import START, FakeClock, FakeEvent
from tests.unit.fakes.sessions import FakeConnection, FakeDatabase, FakeServer, Session, WorkerRow

IDENTITY = Identity("w", "action", "container", None, "here", 8080, {"runtimes": ["shell"]}, {})


@pytest.fixture(autouse=True)
def _outside(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> None:
    monkeypatch.setattr(registration_module, "time", clock)
    monkeypatch.setattr(named_statements, "class_row", lambda kind: kind)


@pytest.fixture
def server(clock: FakeClock) -> FakeServer:
    return FakeServer(clock)


class Process:
    """A process under the worker's name."""

    def __init__(self, server: FakeServer, clock: FakeClock) -> None:
        self.database = FakeDatabase(server)
        self.registration = Registration(self.database, IDENTITY)
        self._clock = clock

    def register(self, *, patience: float = 0.0, giving_up_after: int | None = None) -> Registered:
        giving_up = FakeEvent(self._clock, sets_after=giving_up_after)
        return self.registration.register(patience=patience, giving_up=giving_up)

    def beat(self, *, active: bool = True) -> bool:
        return self.registration.beat(restore_active=lambda: active)

    @property
    def connection(self) -> FakeConnection:
        return self.database.connections[-1]


@pytest.fixture
def process(server: FakeServer, clock: FakeClock) -> Process:
    return Process(server, clock)


@pytest.fixture
def other(server: FakeServer, clock: FakeClock) -> Process:
    return Process(server, clock)


@pytest.fixture
def registered(process: Process) -> Process:
    process.register()
    return process


def holders(server: FakeServer) -> list[Session]:
    return [session for session in server.sessions.values() if session.locks]


def test_a_new_name_gets_a_row_that_is_inactive(process: Process, server: FakeServer) -> None:
    assert process.register().worker_id == server.rows["w"].id == process.registration.worker_id
    assert (server.rows["w"].status, server.rows["w"].host) == ("inactive", "here")
    assert len(holders(server)) == 1


def test_it_is_told_when_the_earlier_life_was_last_seen(process: Process, server: FakeServer) -> None:
    server.rows["w"] = WorkerRow(1, "w", status="active", last_heartbeat=START - timedelta(seconds=40))
    assert process.register() == Registered(1, START - timedelta(seconds=40))
    assert server.rows["w"].last_heartbeat == START - timedelta(seconds=40)


def test_an_earlier_life_that_reported_everything_left_nothing(process: Process, server: FakeServer) -> None:
    server.rows["w"] = WorkerRow(1, "w", last_heartbeat=START, drained_at=START)
    assert process.register() == Registered(1, None)


def test_a_heartbeat_after_the_last_report_counts(process: Process, server: FakeServer) -> None:
    server.rows["w"] = WorkerRow(1, "w", last_heartbeat=START, drained_at=START - timedelta(seconds=1))
    assert process.register() == Registered(1, START)


def test_the_name_of_a_sensor_worker_is_refused(process: Process, server: FakeServer) -> None:
    server.rows["w"] = WorkerRow(1, "w", role="sensor")
    with pytest.raises(ConfigurationError, match="belongs to a sensor worker"):
        process.register()


def test_a_second_process_is_refused_and_changes_nothing(
    registered: Process, other: Process, server: FakeServer
) -> None:
    registered.registration.set_status("active")
    with pytest.raises(WorkerNameTaken, match=r"attune-agent on host here, connected from 10\.0\.0\.9"):
        other.register()
    assert server.rows["w"].status == "active"
    assert registered.beat()


def test_a_second_process_waits_as_long_as_it_is_told(registered: Process, other: Process, clock: FakeClock) -> None:
    before = clock.seconds
    with pytest.raises(WorkerNameTaken):
        other.register(patience=30)
    assert clock.seconds - before == pytest.approx(30, abs=1)


def test_a_second_process_that_is_told_to_end_waits_no_longer(
    registered: Process, other: Process, clock: FakeClock
) -> None:
    before = clock.seconds
    with pytest.raises(WorkerNameTaken):
        other.register(patience=30, giving_up_after=4)
    assert clock.seconds - before < 2


def test_a_second_process_registers_once_the_first_has_gone(
    registered: Process, other: Process, server: FakeServer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered.registration.set_status("active")
    clock.seconds += 5

    class Leaving(FakeEvent):
        def wait(self, timeout: float | None = None) -> bool:
            if len(clock.pauses) == 3:
                registered.registration.set_drained()
                registered.registration.release()
            return super().wait(timeout)

    found = other.registration.register(patience=30, giving_up=Leaving(clock))
    # What the previous process left is read only now: until then it was still alive.
    assert found == Registered(1, None)
    assert (server.rows["w"].status, len(holders(server))) == ("inactive", 1)


def test_a_beat_writes_the_time_and_brings_active_back_when_asked(
    registered: Process, server: FakeServer, clock: FakeClock
) -> None:
    clock.seconds += 30
    assert registered.beat(active=False)
    assert (server.rows["w"].status, server.rows["w"].last_heartbeat) == ("inactive", clock.now())
    clock.seconds += 30
    assert registered.beat(active=True)
    assert (server.rows["w"].status, server.rows["w"].last_heartbeat) == ("active", clock.now())


def test_beats_use_one_session(registered: Process, server: FakeServer) -> None:
    for _ in range(5):
        assert registered.beat()
    assert len(registered.database.connections) == 1
    assert server.statements.count("lock_worker") == 1


def test_a_lock_that_was_lost_with_its_session_is_taken_back(registered: Process, server: FakeServer) -> None:
    registered.connection.lose(noticed=True)
    with pytest.raises(DatabaseUnavailable):
        registered.beat()
    assert registered.beat()
    assert holders(server) == [registered.connection.session]


def test_a_lock_is_taken_back_from_its_own_earlier_session(registered: Process, server: FakeServer) -> None:
    """The server has not noticed that the connection is gone, and would hold the lock for minutes."""
    registered.connection.lose(noticed=False)
    server.lingers = 3
    with pytest.raises(DatabaseUnavailable):
        registered.beat()
    assert registered.beat()
    assert holders(server) == [registered.connection.session]


def test_a_lock_that_a_session_took_without_anybody_hearing_of_it_is_its_own(
    registered: Process, server: FakeServer
) -> None:
    registered.connection.lose(noticed=True)
    server.lost_answer = "lock_worker"
    for _ in range(3):
        with contextlib.suppress(DatabaseUnavailable):
            assert registered.beat()
    assert server.lost_answer == ""
    assert holders(server) == [registered.connection.session]


def test_an_earlier_session_that_does_not_end_is_waited_for_for_some_seconds(
    registered: Process, server: FakeServer, clock: FakeClock
) -> None:
    registered.connection.lose(noticed=False)
    server.lingers = 10_000
    with pytest.raises(DatabaseUnavailable):
        registered.beat()
    before = clock.seconds
    assert not registered.beat()
    assert 4 < clock.seconds - before < 6


def test_a_lock_that_another_process_has_taken_is_lost_for_good(
    registered: Process, other: Process, server: FakeServer
) -> None:
    registered.connection.lose(noticed=True)
    other.register()
    other.registration.set_status("active")
    with pytest.raises(DatabaseUnavailable):
        registered.beat()
    assert not registered.beat()
    assert not registered.registration.set_status("busy")
    assert not registered.registration.set_capabilities({})
    assert not registered.registration.set_drained()
    assert (server.rows["w"].status, server.rows["w"].drained_at) == ("active", None)
    assert holders(server) == [other.connection.session]


def test_a_session_with_the_number_of_its_own_earlier_one_is_not_ended(
    registered: Process, server: FakeServer, clock: FakeClock
) -> None:
    """Process ids are given away again: only together with its start a session is ours."""
    mine = registered.connection.session
    key = next(iter(mine.locks))
    registered.connection.lose(noticed=True)
    clock.seconds += 60
    server.sessions[mine.pid] = Session(mine.pid, clock.now(), "attune-agent", {key})
    with pytest.raises(DatabaseUnavailable):
        registered.beat()
    assert not registered.beat()
    assert mine.pid in server.sessions
    assert "end_session" not in server.statements


def test_a_beat_without_the_database_is_an_error_and_the_next_one_works(
    registered: Process, server: FakeServer
) -> None:
    server.away = True
    for _ in range(3):
        with pytest.raises(DatabaseUnavailable):
            registered.beat()
    server.away = False
    assert registered.beat()
    assert len(holders(server)) == 1


def test_a_write_over_a_session_that_had_died_unnoticed_gets_a_second_try(
    registered: Process, server: FakeServer
) -> None:
    registered.connection.lose(noticed=True)
    assert registered.registration.set_status("busy")
    assert server.rows["w"].status == "busy"


def test_a_second_try_is_not_made_where_another_process_has_the_name(
    registered: Process, other: Process, server: FakeServer
) -> None:
    registered.connection.lose(noticed=True)
    other.register()
    other.registration.set_status("active")
    assert not registered.registration.set_drained()
    assert (server.rows["w"].status, server.rows["w"].drained_at) == ("active", None)


def test_a_write_without_the_database_is_an_error(registered: Process, server: FakeServer) -> None:
    server.away = True
    with pytest.raises(DatabaseUnavailable):
        registered.registration.set_status("busy")


def test_a_session_that_was_opened_after_a_loss_holds_nothing_until_it_has_the_lock(
    registered: Process, other: Process, server: FakeServer
) -> None:
    """A connection that works is no proof: another process may have come in between."""
    registered.connection.lose(noticed=True)
    other.register()
    with pytest.raises(DatabaseUnavailable):
        registered.beat()
    for _ in range(2):
        assert not registered.beat()


def test_released_the_name_is_free(registered: Process, other: Process, server: FakeServer) -> None:
    registered.registration.release()
    assert server.sessions == {}
    other.register()
    registered.registration.release()
    assert len(holders(server)) == 1
