"""What can go wrong, one function each. Each leaves the site healed; the audit comes afterwards.

``SHORT_FORM`` are those that continuous integration runs each time.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

from agent.mq import topology
from tests.faults.site import LONG, QUICK, SHORT, STUBBORN, Site
from tests.services.proxy import until
from tests.services.rabbitmq import manage

Scenario = Callable[[Site], None]


# --- the agent is killed ---


def killed_at_any_moment(site: Site) -> None:
    """Killed again and again while short jobs flow: each step of an execution is met sooner or later."""
    agent = site.start_agent()
    for _ in range(4):
        ids = site.submit(60)
        site.wait_running(ids, len(ids) // 3)
        agent = site.kill(agent)
    site.healed()


def killed_after_delivery(site: Site) -> None:
    """Killed with dispatches in hand that it could not claim."""
    agent = site.start_agent()
    site.database.pause()
    site.submit(40)
    time.sleep(1)
    agent.kill()
    site.database.accept()
    site.start_agent()
    site.healed()


def killed_after_claim(site: Site) -> None:
    """Killed when claims were committed whose answer never came."""
    agent = site.start_agent()
    site.database.inject(b"\0claim\0", "lose answer")
    site.submit(40)
    site.database.wait_for_faults()
    site.kill(agent)
    site.healed()


def killed_while_jobs_run(site: Site) -> None:
    """Killed with running jobs; not PID 1, so they live on until the next life ends them."""
    agent = site.start_agent()
    ids = site.submit(8, LONG)
    site.wait_running(ids, min(8, len(ids)))
    site.kill(agent)
    site.healed()


def killed_after_exit(site: Site) -> None:
    """Killed when jobs had ended, but their ends could not be written."""
    agent = site.start_agent()
    ids = site.submit(8, LONG)
    site.wait_running(ids, min(8, len(ids)))
    site.database.pause()
    site.release()
    until(lambda: sum(what == "end" for _, what in site.trace()) == min(8, len(ids)), "the ends")
    time.sleep(2)
    agent.kill()
    site.database.accept()
    site.start_agent()
    site.healed()


def killed_before_messages(site: Site) -> None:
    """Killed when ends were written, but not published, for longer than several heartbeats."""
    agent = site.start_agent()
    ids = site.submit(30)
    site.wait_running(ids, 1)
    site.broker.refuse()
    time.sleep(3)
    agent.kill()
    site.broker.accept()
    site.start_agent()
    site.healed()


def stopped_while_somebody_ends_its_rows(site: Site) -> None:
    """SIGSTOP for longer than a monitor waits; it ends the rows, the agent wakes and finds them ended."""
    agent = site.start_agent()
    ids = site.submit(8, LONG)
    site.wait_running(ids, min(8, len(ids)))
    agent.signal(signal.SIGSTOP)
    site.end_elsewhere(ids)
    site.release()
    agent.signal(signal.SIGCONT)
    site.healed()


# --- the broker ---


def broker_restarted(site: Site) -> None:
    """Stopped and started while jobs flow."""
    site.start_agent()
    site.submit(100)
    site.servers.rabbit.restart()
    site.healed()


def broker_away(site: Site) -> None:
    """Nothing listens for some seconds."""
    site.start_agent()
    ids = site.submit(100)
    site.wait_running(ids, 5)
    site.broker.refuse()
    time.sleep(3)
    site.broker.accept()
    site.healed()


def broker_half_open(site: Site) -> None:
    """What is sent is swallowed in both directions, and no connection ends."""
    site.start_agent()
    ids = site.submit(100)
    site.wait_running(ids, 5)
    site.broker.swallow()
    time.sleep(8)
    site.broker.accept()
    site.healed()


def broker_resetting(site: Site) -> None:
    """A balancer takes each connection and resets it."""
    site.start_agent()
    ids = site.submit(100)
    site.wait_running(ids, 5)
    site.broker.reset()
    time.sleep(3)
    site.broker.accept()
    site.healed()


def broker_closes_everything(site: Site) -> None:
    """The broker closes all connections, again and again."""
    site.start_agent()
    site.submit(100)
    for _ in range(3):
        site.broker.cut()
        time.sleep(0.5)
    site.healed()


def queue_deleted(site: Site) -> None:
    """An operator deletes the worker's queue with all that waits in it."""
    agent = site.start_agent()
    site.submit(100)
    name = topology.owned_queues(agent.worker_id)[0]
    vhost = site.amqp_url.rpartition("/")[2]
    manage(f"http://127.0.0.1:{site.servers.rabbit.http_port}", "DELETE", f"/api/queues/{vhost}/{name}")
    time.sleep(1)
    site.healed()


def dispatches_lost(site: Site) -> None:
    """Rows are scheduled, and no dispatch ever comes."""
    site.start_agent()
    site.schedule(site.count(12))
    site.submit(20)
    site.healed()


def memory_alarm(site: Site) -> None:
    """The broker delivers, but takes no messages."""
    site.start_agent()
    ids = site.submit(60)
    site.wait_running(ids, 5)
    site.servers.rabbit.ctl("set_vm_memory_high_watermark", "0.000001")
    time.sleep(2)
    site.servers.rabbit.ctl("set_vm_memory_high_watermark", "0.4")
    site.healed()


# --- the database ---


def database_restarted(site: Site) -> None:
    """A crash of the server while jobs flow."""
    site.start_agent()
    ids = site.submit(100)
    site.wait_running(ids, 5)
    site.servers.postgres.restart("immediate")
    site.healed()


def database_away(site: Site) -> None:
    """Nothing listens for some seconds."""
    site.start_agent()
    ids = site.submit(100)
    site.wait_running(ids, 5)
    site.database.refuse()
    time.sleep(3)
    site.database.accept()
    site.healed()


def database_silent(site: Site) -> None:
    """Connections stay, nothing comes back for some seconds."""
    site.start_agent()
    ids = site.submit(100)
    site.wait_running(ids, 5)
    site.database.pause()
    time.sleep(4)
    site.database.accept()
    site.healed()


def database_read_only(site: Site) -> None:
    """Fail-over to a standby and back: sessions live on and may write nothing."""
    site.start_agent()
    ids = site.submit(100)
    site.wait_running(ids, 5)
    site.servers.postgres.configure("default_transaction_read_only = on")
    site.database.cut()
    time.sleep(3)
    site.servers.postgres.configure("RESET default_transaction_read_only")
    site.healed()


def database_slow(site: Site) -> None:
    """Each piece takes a twentieth of a second, and few bytes pass."""
    site.start_agent()
    site.database.slow_down(delay=0.05, rate=200_000)
    site.submit(60)
    time.sleep(3)
    site.database.accept()
    site.healed()


def answers_lost(site: Site) -> None:
    """The connection breaks in the middle of a statement: before the server acts, and before it answers."""
    site.start_agent()
    for marker in (b"\0claim\0", b"\0finish\0", b"\0exchange\0", b"COMMIT"):
        for fault in ("lose request", "lose answer"):
            site.database.inject(marker, fault)  # type: ignore[arg-type]
            site.submit(12)
    site.healed()


def serialization_failures(site: Site) -> None:
    """Every third write of an execution fails with a conflict."""
    site.start_agent()
    site.rows("CREATE SEQUENCE unlucky")
    site.rows(
        "CREATE FUNCTION fail_now_and_then() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF nextval('attune.unlucky') % 3 = 0 THEN RAISE EXCEPTION 'unlucky' USING ERRCODE = '40001'; END IF;"
        " RETURN NEW; END $$"
    )
    site.rows(
        "CREATE TRIGGER unlucky BEFORE UPDATE ON execution FOR EACH STATEMENT EXECUTE FUNCTION fail_now_and_then()"
    )
    site.submit(100)
    time.sleep(3)
    site.rows("DROP TRIGGER unlucky ON execution")
    site.healed()


def rows_locked(site: Site) -> None:
    """Somebody holds locks on the rows for some seconds."""
    site.start_agent()
    ids = site.submit(60)
    site.wait_running(ids, 2)
    site.rows("BEGIN; SELECT count(*) FROM (SELECT 1 FROM execution FOR UPDATE) AS held; SELECT pg_sleep(3); COMMIT")
    site.healed()


def both_away(site: Site) -> None:
    """Broker and database at once."""
    site.start_agent()
    ids = site.submit(100)
    site.wait_running(ids, 5)
    site.broker.refuse()
    site.database.refuse()
    time.sleep(3)
    site.database.accept()
    site.broker.accept()
    site.healed()


# --- leaving ---


def drained_in_time(site: Site) -> None:
    """SIGTERM while jobs run that end within the grace; the rest waits for the next life."""
    agent = site.start_agent()
    ids = site.submit(80)
    site.wait_running(ids, 5)
    _leave(agent.stop(), 0)
    site.start_agent()
    site.healed()


def drained_too_late(site: Site) -> None:
    """SIGTERM while jobs run that ignore it."""
    agent = site.start_agent()
    ids = site.submit(8, STUBBORN)
    site.wait_running(ids, min(8, len(ids)))
    _leave(agent.stop(), 0)
    site.start_agent()
    site.healed()


def asked_twice_to_leave(site: Site) -> None:
    """A second SIGTERM leaves no time for a drain."""
    agent = site.start_agent()
    ids = site.submit(8, LONG)
    site.wait_running(ids, min(8, len(ids)))
    agent.signal(signal.SIGTERM)
    time.sleep(1)
    _leave(agent.stop(), 75)
    site.start_agent()
    site.healed()


def leaving_without_database(site: Site) -> None:
    """SIGTERM while the database is silent and jobs have ended."""
    agent = site.start_agent()
    ids = site.submit(8, LONG)
    site.wait_running(ids, min(8, len(ids)))
    site.database.pause()
    site.release()
    time.sleep(0.5)
    _leave(agent.stop(), 75)
    site.database.accept()
    site.start_agent()
    site.healed()


def leaving_without_broker(site: Site) -> None:
    """SIGTERM while the broker is away and jobs have ended."""
    agent = site.start_agent()
    ids = site.submit(8, LONG)
    site.wait_running(ids, min(8, len(ids)))
    site.broker.refuse()
    site.release()
    time.sleep(1)
    _leave(agent.stop(), 75)
    site.broker.accept()
    site.start_agent()
    site.healed()


# --- messages that come twice, too late, or cancel ---


def duplicates(site: Site) -> None:
    """Each dispatch comes three times, and once more when all is over."""
    site.start_agent()
    ids = site.submit(60)
    site.dispatch(ids)
    site.dispatch(ids)
    site.wait_ended(ids)
    site.dispatch(ids)
    site.healed()


def cancelled(site: Site) -> None:
    """Cancelled before the start, while they run, and when they have ended."""
    site.start_agent()
    before = site.schedule(site.count(10))
    site.cancel(before)
    site.dispatch(before)
    running = site.submit(8, LONG)
    site.wait_running(running, min(8, len(running)))
    site.cancel(running)
    over = site.submit(10, QUICK)
    site.wait_ended(over)
    site.cancel(over)
    flowing = site.submit(40)
    site.cancel(flowing[::2])
    site.healed()


# --- more than one agent ---


def two_agents(site: Site) -> None:
    """Two workers; one is killed while both work."""
    first, second = site.start_agent("worker-1"), site.start_agent("worker-2")
    site.submit(60, agent=first)
    site.submit(60, agent=second)
    site.kill(first)
    site.healed()


def one_name_twice(site: Site) -> None:
    """A second process of the same name waits while the first works, and takes over when that is killed."""
    first = site.start_agent()
    second = site.start_agent(wait=False, ATTUNE__WORKER__SHUTDOWN_TIMEOUT="60")
    second.worker_id = first.worker_id
    ids = site.submit(60)
    site.wait_running(ids, 10)
    since = site.one("SELECT clock_timestamp()")
    first.kill()
    site.wait_active(second, since)
    site.healed()


def partitioned(site: Site) -> None:
    """The server goes on believing in connections that the agent has lost."""
    site.start_agent()
    ids = site.submit(80)
    site.wait_running(ids, 5)
    for _ in range(3):
        site.database.sever()
        site.broker.sever()
        time.sleep(1)
    site.healed()


# --- disks ---


def disk_full(site: Site) -> None:
    """Artifacts on a full disk, the broker away, and then a crash. Needs root, which mounts."""
    if os.geteuid() != 0:
        return
    artifacts = site.directory / "artifacts"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", artifacts], check=True)
    try:
        agent = site.start_agent()
        with suppress(OSError), (artifacts / "ballast").open("wb") as ballast:
            ballast.write(b"x" * 1_000_000)
        ids = site.submit(30)
        site.wait_running(ids, 3)
        site.broker.refuse()
        time.sleep(2)
        agent.kill()
        site.broker.accept()
        site.start_agent()
        (artifacts / "ballast").unlink()
        site.healed()
        site.wait_ended()
        for agent in site.agents:
            if agent.running:
                agent.stop()
        subprocess.run(["cp", "-a", f"{artifacts}/.", f"{site.directory}/kept"], check=True)
    finally:
        subprocess.run(["umount", "-l", artifacts], check=True)
        kept = site.directory / "kept"
        if kept.exists():
            artifacts.rmdir()
            kept.rename(artifacts)


# --- everything ---


def at_random(site: Site, seconds: float = 90.0) -> None:
    """Everything at random while jobs flow."""
    dice = random.Random(20260101)
    agent = site.start_agent()
    faults: list[Callable[[], object]] = [
        site.database.cut,
        site.broker.cut,
        site.database.sever,
        site.broker.sever,
        lambda: site.database.inject(dice.choice([b"\0claim\0", b"\0finish\0", b"\0exchange\0"]), "lose answer"),
        lambda: _for_a_while(site.database.refuse, site.database.accept, dice.uniform(0.2, 2)),
        lambda: _for_a_while(site.broker.refuse, site.broker.accept, dice.uniform(0.2, 2)),
        lambda: _for_a_while(site.database.pause, site.database.accept, dice.uniform(0.2, 2)),
        lambda: _for_a_while(site.broker.reset, site.broker.accept, dice.uniform(0.2, 2)),
        lambda: site.servers.postgres.restart("immediate"),
    ]
    until_then = time.monotonic() + seconds * site.scale
    while time.monotonic() < until_then:
        ids = site.submit(20, dice.choice([QUICK, SHORT]), agent=agent)
        if dice.random() < 0.2:
            site.dispatch(ids[::3], agent=agent)
        if dice.random() < 0.2:
            site.cancel(ids[::5], agent=agent)
        if dice.random() < 0.15:
            agent = site.kill(agent)
        elif dice.random() < 0.1:
            agent.stop()
            agent = site.start_agent()
        else:
            dice.choice(faults)()
        time.sleep(dice.uniform(0, 0.5))
    site.database.accept()
    site.broker.accept()
    site.healed()


def _for_a_while(begin: Callable[[], object], end: Callable[[], object], seconds: float) -> None:
    begin()
    time.sleep(seconds)
    end()


def _leave(code: int, expected: int) -> None:
    assert code == expected, f"the agent left with {code}"


SCENARIOS: dict[str, Scenario] = {
    scenario.__name__.replace("_", " "): scenario
    for scenario in (
        killed_at_any_moment,
        killed_after_delivery,
        killed_after_claim,
        killed_while_jobs_run,
        killed_after_exit,
        killed_before_messages,
        stopped_while_somebody_ends_its_rows,
        broker_restarted,
        broker_away,
        broker_half_open,
        broker_resetting,
        broker_closes_everything,
        queue_deleted,
        dispatches_lost,
        memory_alarm,
        database_restarted,
        database_away,
        database_silent,
        database_read_only,
        database_slow,
        answers_lost,
        serialization_failures,
        rows_locked,
        both_away,
        drained_in_time,
        drained_too_late,
        asked_twice_to_leave,
        leaving_without_database,
        leaving_without_broker,
        duplicates,
        cancelled,
        two_agents,
        one_name_twice,
        partitioned,
        disk_full,
        at_random,
    )
}
SHORT_FORM = (
    "killed at any moment",
    "killed while jobs run",
    "killed before messages",
    "stopped while somebody ends its rows",
    "broker away",
    "database silent",
    "answers lost",
    "leaving without database",
    "duplicates",
    "at random",
)
