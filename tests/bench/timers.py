"""What a thousand timers take, how late they fire, and how soon a new rule's timer runs."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from tests.bench.control_side import Server, running_server
from tests.bench.placing import Session
from tests.bench.stack import ROOT, Stack
from tests.bench.throughput import cpu_seconds

TIMERS = 1000
_RULE = {"pack_ref": "bench", "label": "x", "action_ref": "bench.noop", "trigger_ref": "core.intervaltimer"}


@dataclass(frozen=True)
class Timers:
    """Share of a core; seconds from their time to when timers fired, of the slowest per cent and the median; seconds
    from the creation of a rule to its timer, of a sensor that runs."""

    core: float
    late_p50: float
    late_p99: float
    set_p50: float


def thousand_timers(stack: Stack, seconds: float = 90.0) -> Timers:
    """Watch the timer sensor with a thousand timers of one minute, spread over it, and then with new rules."""
    stack = replace(stack, environment={**stack.environment, "ATTUNE__MESSAGE_QUEUE__URL": "database"})
    # Nobody processes the events: the cost of the sensor alone is asked for.
    with running_server(stack, "--only", "api") as server, stack.connect() as connection:
        connection.execute(
            "INSERT INTO rule (ref, pack, pack_ref, label, action, action_ref, trigger, trigger_ref, trigger_params,"
            "                  enabled, created)"
            " SELECT 'bench.timer' || n, a.pack, a.pack_ref, 'x', a.id, a.ref, t.id, t.ref,"
            '        \'{"interval": 1, "unit": "minutes"}\', true, now() - n * interval \'1 minute\' / %s'
            "   FROM generate_series(1, %s) AS n, action a, trigger t"
            "  WHERE a.ref = 'bench.noop' AND t.ref = 'core.intervaltimer'",
            [TIMERS, TIMERS],
        )
        try:
            with _timer_sensor(stack, server) as (process, log):
                _wait_for(log, TIMERS)
                time.sleep(5)
                before, started = cpu_seconds(process.pid), time.perf_counter()
                time.sleep(seconds)
                core = (cpu_seconds(process.pid) - before) / (time.perf_counter() - started)
                late = _lateness(connection)
                if len(late) < TIMERS * seconds / 60 * 0.95:
                    raise RuntimeError(f"{len(late)} events of {TIMERS} timers in {seconds:g} s")
                delays = [_creation_to_timer(server, log, number) for number in range(20)]
        finally:
            connection.execute("DELETE FROM rule WHERE ref LIKE 'bench.timer%'")
    late.sort()
    return Timers(core, statistics.median(late), late[int(len(late) * 0.99)], statistics.median(delays))


def first_timers(stack: Stack, rounds: int = 5) -> list[float]:
    """Return the seconds from the creation of a rule to its timer, of a sensor that no rule has needed before."""
    stack = replace(stack, environment={**stack.environment, "ATTUNE__MESSAGE_QUEUE__URL": "database"})
    with running_server(stack, "--only", "api") as server, _sensor_service(stack, server):
        return [_first_timer(server, number) for number in range(rounds)]


def _first_timer(server: Server, number: int) -> float:
    ref = f"bench.timer_first{number}"
    started = time.time()
    body = {**_RULE, "ref": ref, "trigger_params": {"interval": 1, "unit": "hours"}}
    server.client.ok("POST", "/api/v1/rules", body)
    path = "/api/v1/sensors/core.timer_sensor"
    found: dict[str, datetime] = {}
    deadline = time.monotonic() + 60
    while ref not in found:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the timer of {ref} was not set within a minute")
        time.sleep(0.1)
        answer = server.client.get(f"{path}/logs/stderr")
        found = _timers_in(answer.text) if answer.status_code == 200 else {}
    server.client.ok("DELETE", f"/api/v1/rules/{ref}")
    while any(one["status"] != "stopped" for one in server.client.ok("GET", path)["processes"]):
        if time.monotonic() > deadline:
            raise RuntimeError("the timer sensor did not stop within a minute")
        time.sleep(0.1)
    return found[ref].timestamp() - started


@contextlib.contextmanager
def _sensor_service(stack: Stack, server: Server) -> Iterator[None]:
    """Run a sensor service until the end of the block, from when it is active on."""
    environment = {**stack.environment, "ATTUNE__SENSOR__WORKER_NAME": "bench-sensors"}
    environment["ATTUNE_API_URL"] = server.process.url
    service = subprocess.Popen([sys.executable, "-m", "agent", "sensor"], env=environment, cwd=ROOT)
    try:
        deadline = time.monotonic() + 60
        with stack.connect() as connection:
            sql = "SELECT FROM worker WHERE name = 'bench-sensors' AND status = 'active'"
            while connection.execute(sql).fetchone() is None:
                if service.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the sensor service did not become active within a minute")
                time.sleep(0.05)
        yield
    finally:
        service.terminate()
        service.wait(60)


@contextlib.contextmanager
def _timer_sensor(stack: Stack, server: Server) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Run the timer sensor as the service that starts sensors does."""
    token = server.client.ok("POST", "/auth/sensor-token", {"sensor_ref": "core.timer_sensor"})["token"]
    environment = {
        "PATH": os.environ["PATH"],
        "ATTUNE_API_URL": server.process.url,
        "ATTUNE_API_TOKEN": token,
        "ATTUNE_SENSOR_REF": "core.timer_sensor",
    }
    log = stack.directory / f"timer-{time.monotonic_ns()}.log"
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-m", "agent", "timer"], env=environment, cwd=ROOT, stderr=file)
    try:
        yield process, log
    finally:
        process.terminate()
        process.wait(30)


def _set_timers(log: Path) -> dict[str, datetime]:
    """When each rule's timer was set, by the rule's ref."""
    return _timers_in(log.read_text())


def _timers_in(text: str) -> dict[str, datetime]:
    lines = [json.loads(line) for line in text.splitlines() if '"timer set"' in line]
    return {line["rule_ref"]: datetime.fromisoformat(line["timestamp"]) for line in lines}


def _wait_for(log: Path, timers: int) -> None:
    deadline = time.monotonic() + 60
    while len(_set_timers(log)) < timers:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(_set_timers(log))} of {timers} timers were set within a minute")
        time.sleep(0.1)


def _lateness(connection: Session) -> list[float]:
    rows = connection.execute(
        "SELECT extract(epoch FROM (payload ->> 'fired_at')::timestamptz - (payload ->> 'scheduled_at')::timestamptz)"
        "  FROM event WHERE rule_ref LIKE 'bench.timer%'"
    ).fetchall()
    return [float(str(row[0])) for row in rows]


def _creation_to_timer(server: Server, log: Path, number: int) -> float:
    """Return the seconds from the request for a rule until its timer is set."""
    ref = f"bench.timer_new{number}"
    started = time.time()
    body = {**_RULE, "ref": ref, "trigger_params": {"interval": 1, "unit": "hours"}}
    server.client.ok("POST", "/api/v1/rules", body)
    deadline = time.monotonic() + 30
    while ref not in (found := _set_timers(log)):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the timer of {ref} was not set within 30 s")
        time.sleep(0.05)
    return found[ref].timestamp() - started
