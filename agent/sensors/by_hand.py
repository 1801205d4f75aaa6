"""Run one sensor in a terminal with exactly what a sensor service would give it: to try it while it is being written.

It has the sensor's lock meanwhile, so that no service runs it as well and nothing is noticed twice.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from agent.configuration import Loaded
from agent.configuration.roles import as_sensor_service
from agent.db.named_statements import Statements
from agent.db.pool import Database
from agent.errors import Conflict, NotFound, UsageError
from agent.execution.inputs.scratch import Scratch, scratch_candidates
from agent.presence.context import open_context
from agent.process.cancellation import CancellationToken
from agent.process.job_mark import JobMark
from agent.process.request import Ending, ProcessOutcome, ProcessRequest
from agent.process.supervisor import run
from agent.runtimes.selection import VersionSelector
from agent.sensors.assembly import sensor_preparer
from agent.sensors.lock_session import LockSession
from agent.sensors.sensor_preparation import PreparedSensor
from agent.sensors.sensor_variables import MARK
from agent.sensors.store import SensorStore
from agent.threads import ThreadGroup
from agent.transport.file_transport import file_transport

#: Seconds for a service to give up a sensor that was just switched off, and between two looks.
_PATIENCE, _LOOK = 10.0, 0.2


@dataclass(frozen=True)
class Terminal:
    """Where the sensor's output goes; ``say`` is told what happens, in sentences for a person."""

    out: Callable[[bytes], None]
    err: Callable[[bytes], None]
    say: Callable[[str], None]


class _Named(NamedTuple):
    id: int
    enabled: bool
    running_on: str | None


def run_by_hand(loaded: Loaded, ref: str, terminal: Terminal, stop: threading.Event) -> ProcessOutcome:
    """Run it until it ends or ``stop`` is set; whether it is switched on does not matter.

    Raises:
        NotFound: there is no such sensor.
        Conflict: a sensor service runs it.
        UsageError: no rule needs it.
        InvalidExecution: it can't run here as it is.
        EnvironmentFailed: its isolated environment or its pack's files can't be had.
        ServerError: no token is to be had.
        DatabaseError: the database is away.
    """
    base = open_context(as_sensor_service(loaded), role="sensor", agent_mode=True)
    settings = base.loaded.settings
    owner = f"by-hand-{os.getpid()}"
    token, session = CancellationToken(), LockSession(base.database)
    threads = ThreadGroup()
    over = threading.Event()
    threads.start("sensor-stop", lambda: _cancel_when(stop, over, token))
    places = scratch_candidates(settings.worker.scratch_dir, base.machine.env, settings.artifacts_dir)
    try:
        sensor = _named(base.database, ref)
        _lock(session, base.database, sensor, ref)
        store = SensorStore(base.database, worker_id=0, worker_name="", switched_off_too=True)
        preparer = sensor_preparer(
            base,
            store,
            file_transport(base.loaded, base.database, base.machine, 0),  # it sends nothing
            Scratch(places, owner=owner),
            VersionSelector(base.machine, reverify_after=settings.worker.reverify_after),
            worker_id=None,
        )
        prepared = preparer.prepare(sensor.id, owner, token, terminal.say)
        if prepared is None:
            raise UsageError(f"no enabled rule needs {ref}", hint="make one: attune rule create --help")
        try:
            terminal.say(f"{ref} runs by {prepared.runtime}, for {prepared.sensor.rules} rules; Ctrl-C ends it")
            return run(_request(prepared, terminal, owner), token)
        finally:
            preparer.done(prepared)
    finally:
        over.set()
        session.close()
        threads.join(1.0)
        token.close()
        base.database.close()


def _request(prepared: PreparedSensor, terminal: Terminal, mark: str) -> ProcessRequest:
    return ProcessRequest(
        argv=prepared.argv,
        env=prepared.env,
        cwd=prepared.cwd,
        stdin=b"",
        timeout=None,
        stdout=terminal.out,
        stderr=terminal.err,
        mark=JobMark(f"{MARK}={mark}", None),
    )


def _cancel_when(stop: threading.Event, over: threading.Event, token: CancellationToken) -> None:
    while not over.is_set():
        if stop.wait(0.1):
            token.cancel(Ending.CANCELLED)
            return


def _named(database: Database, ref: str) -> _Named:
    with database.connection() as connection:
        found = Statements("agent.sensors").one(connection, _Named, "sensor_named", {"ref": ref})
    if found is None:
        raise NotFound(f"there is no sensor {ref}", hint="see: attune sensor list")
    return found


def _lock(session: LockSession, database: Database, sensor: _Named, ref: str) -> None:
    """Take the sensor's lock; a service gets a while to end what it runs when it was told to.

    Raises:
        Conflict: a service keeps it.
    """
    deadline = time.monotonic() + _PATIENCE
    session.restore()
    while not session.take(sensor.id):
        sensor = _named(database, ref)
        if sensor.enabled or time.monotonic() > deadline:
            raise Conflict(
                f"{ref} runs on {sensor.running_on or 'a sensor service'}: both would send its events",
                hint=f"attune sensor disable {ref} ends it there; it can be run here all the same",
            )
        time.sleep(_LOOK)
