"""Raise a system alert in a transaction: its message goes out when that is committed."""

from __future__ import annotations

from agent.control.outbox import Outbox
from agent.db.pool import Connection
from agent.presence.alerts import Alert, write_alert


def raise_alert(connection: Connection, outbox: Outbox, alert: Alert) -> bool:
    """Write the event in the transaction of ``connection``; False when nobody could listen to it.

    Raises:
        psycopg.Error: the transaction is over.
    """
    message = write_alert(connection, alert)
    if message is not None:
        outbox.add(connection, [message])
    return message is not None
