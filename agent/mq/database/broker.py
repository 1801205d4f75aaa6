"""The PostgreSQL database as the broker: for a single host and for the demo (promise: both brokers behave alike)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

from agent.db.error_translation import translated
from agent.db.pool import Connection, Database
from agent.db.pooling import refuse_shared_sessions
from agent.errors import BrokerError, BrokerUnavailable, DatabaseError, DatabaseUnavailable
from agent.mq.broker import Consumer, Publisher, Queue, Subscription
from agent.mq.database.consumer import DatabaseConsumer
from agent.mq.database.declaration import SQL, declare
from agent.mq.database.declaration import unbind as remove_bindings
from agent.mq.database.publisher import DatabasePublisher
from agent.settings import DatabaseSettings

POLL_SECONDS = 5.0


class DatabaseBroker:
    """See ``broker.Broker``. The connections must be real sessions: LISTEN does not work through a pooler."""

    def __init__(self, settings: DatabaseSettings, *, name: str, poll_seconds: float = POLL_SECONDS) -> None:
        """Prepare; ``name`` is the worker's. ``poll_seconds`` is the safety net beside the notifications.

        Raises:
            ConfigurationError: the URL or the schema's name is malformed.
        """
        self._database = Database(settings, application_name=f"{name} broker")
        self._name = name
        self._poll_seconds = poll_seconds

    def declare(self, queues: Sequence[Queue]) -> None:
        """Declare the common exchanges and these queues."""
        with self._connection() as connection:
            refuse_shared_sessions(self._database)
            declare(connection, tuple(queues))

    def delete(self, queues: Sequence[str], *, unbind: Sequence[Queue] = ()) -> None:
        """Delete queues, and the bindings of others."""
        with self._connection() as connection:
            for queue in unbind:
                remove_bindings(connection, queue)
            connection.execute(SQL["delete_queues"], {"names": list(queues)})

    def consumers(self, queue: str) -> int:
        """Nobody can tell: whoever consumes takes rows. Attune's Rust services know no broker in a database."""
        return 0

    def consumer(self, subscription: Subscription) -> Consumer:
        """A consumer, not yet running."""
        name = f"{self._name} {subscription.tag}"
        return DatabaseConsumer(self._database, subscription, name=name, poll_seconds=self._poll_seconds)

    def publisher(self) -> Publisher:
        """A publisher, not yet running."""
        return DatabasePublisher(self._database, name=f"{self._name} publisher")

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        try:
            with (
                closing(self._database.connect(autocommit=True)) as connection,
                translated(self._database.address.label),
            ):
                yield connection
        except DatabaseUnavailable as error:
            raise BrokerUnavailable(f"the broker in the database: {error}") from error
        except DatabaseError as error:
            raise BrokerError(f"the broker in the database: {error}") from error
