"""PostgreSQL is away, silent, slow, read-only, or in conflict."""

from __future__ import annotations

import time

import psycopg

from tests.faults.scenarios.work import for_a_while, jobs_flow
from tests.faults.site import Site
from tests.services.proxy import until

#: The advisory lock that commits wait for.
_GATE = 4711


def database_restarted(site: Site) -> None:
    """A crash of the server while jobs flow."""
    jobs_flow(site)
    site.servers.postgres.restart("immediate")
    site.healed()


def database_away(site: Site) -> None:
    """Nothing listens for some seconds."""
    jobs_flow(site)
    for_a_while(site.database.refuse, site.database.accept, 3)
    site.healed()


def database_silent(site: Site) -> None:
    """Connections stay, nothing comes back for some seconds."""
    jobs_flow(site)
    for_a_while(site.database.pause, site.database.accept, 4)
    site.healed()


def database_read_only(site: Site) -> None:
    """Fail-over to a standby and back: sessions live on and may write nothing."""
    jobs_flow(site)
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
    site.direct.rows("CREATE SEQUENCE unlucky")
    site.direct.rows(
        "CREATE FUNCTION fail_now_and_then() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF nextval('attune.unlucky') % 3 = 0 THEN RAISE EXCEPTION 'unlucky' USING ERRCODE = '40001'; END IF;"
        " RETURN NEW; END $$"
    )
    site.direct.rows(
        "CREATE TRIGGER unlucky BEFORE UPDATE ON execution FOR EACH STATEMENT EXECUTE FUNCTION fail_now_and_then()"
    )
    site.submit(100)
    time.sleep(3)
    site.direct.rows("DROP TRIGGER unlucky ON execution")
    site.healed()


def rows_locked(site: Site) -> None:
    """Somebody holds locks on the rows for some seconds."""
    jobs_flow(site, 60, running=2)
    site.direct.rows(
        "BEGIN; SELECT count(*) FROM (SELECT 1 FROM execution FOR UPDATE) AS held; SELECT pg_sleep(3); COMMIT"
    )
    site.healed()


def commits_hanging(site: Site) -> None:
    """Commits wait in the server, their connections are lost meanwhile, and then the commits come through."""
    site.start_agent()
    site.direct.rows(
        "CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN PERFORM pg_advisory_xact_lock_shared({_GATE}); RETURN NULL; END $$"
    )
    site.direct.rows(
        "CREATE CONSTRAINT TRIGGER hang AFTER UPDATE ON execution DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION hang()"
    )
    ids = site.submit(60)
    site.wait_running(ids, 2)
    waiting = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = {_GATE} AND NOT granted"
    for _ in range(3):
        with psycopg.connect(site.direct.database_url, autocommit=True) as holder:
            holder.execute(f"SELECT pg_advisory_lock({_GATE})")
            until(lambda: site.direct.one(waiting), "a commit that hangs")
            site.database.sever()
            time.sleep(0.5)
        site.submit(10)
    site.healed()


def both_away(site: Site) -> None:
    """Broker and database at once."""
    jobs_flow(site)
    site.broker.refuse()
    for_a_while(site.database.refuse, site.database.accept, 3)
    site.broker.accept()
    site.healed()
