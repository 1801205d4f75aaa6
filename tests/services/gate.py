"""Hold a program of ours at one change of one row: before it is written, or when it is to be committed.

What is killed there is killed at a known place. A change that is held at its commit goes through once the gate opens,
although nobody hears of it any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from tests.services.catalog import Catalog
from tests.services.waiting import until

#: The advisory lock that the held session waits for.
_LOCK = 4712
At = Literal["statement", "commit"]

_FUNCTION = f"""
CREATE FUNCTION held() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF current_setting('application_name') LIKE TG_ARGV[0] THEN
        PERFORM pg_advisory_xact_lock_shared({_LOCK});
    END IF;
    RETURN coalesce(NEW, OLD);
END $$"""


@dataclass(frozen=True)
class Gate:
    """A gate that is closed, until ``open`` or the end of the block."""

    catalog: Catalog
    session: Any

    def wait(self) -> None:
        """Wait until somebody stands before it."""
        waiting = f"SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = {_LOCK} AND NOT granted"
        until(lambda: self.catalog.all(waiting), "somebody who is held")

    def open(self) -> None:
        """Let everybody through."""
        self.session.execute("SELECT pg_advisory_unlock_all()")


@contextmanager
def held(
    catalog: Catalog, change: str, *, at: At, when: str = "true", program: str = "attune-server%"
) -> Iterator[Gate]:
    """Close a gate for the length of the block.

    ``change`` is as in ``UPDATE ON execution``, ``when`` a condition on ``OLD`` and ``NEW``; ``program`` is a pattern
    of the names that programs give their sessions.
    """
    session = catalog.connect()
    kind = "TRIGGER held BEFORE" if at == "statement" else "CONSTRAINT TRIGGER held AFTER"
    deferred = "" if at == "statement" else "DEFERRABLE INITIALLY DEFERRED"
    table = change.rpartition(" ")[2]
    try:
        session.execute(_FUNCTION)
        session.execute(
            f"CREATE {kind} {change} {deferred} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION held('{program}')".encode()
        )
        session.execute(f"SELECT pg_advisory_lock({_LOCK})".encode())
        yield Gate(catalog, session)
    finally:
        session.execute("SELECT pg_advisory_unlock_all()")
        session.execute(f"DROP TRIGGER held ON {table}".encode())
        session.execute("DROP FUNCTION held()")
        session.close()
