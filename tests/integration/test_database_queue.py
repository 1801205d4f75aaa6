"""What only the broker inside the database does: sessions, notifications, its own tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from agent.db.migrations import apply_migrations
from agent.db.pool import Database
from agent.errors import BrokerError
from agent.mq import topology
from agent.mq.broker import Delivery, Outgoing, Subscription
from agent.mq.database.broker import DatabaseBroker
from agent.mq.database.consumer import EARLIER_SESSION_LOCK
from agent.paths import shipped
from agent.settings import DatabaseSettings
from tests.services.brokers import Inbox, message, publishing, running, until

pytestmark = pytest.mark.postgres

QUEUE = topology.executions_queue(7)
HOUR = 3600.0


def dispatch(text: object) -> Outgoing:
    return message(str(text), topology.EXECUTIONS, topology.dispatch_key(7))


def subscription(inbox: Inbox) -> Subscription:
    return Subscription(QUEUE, "worker-7", 50, inbox)


def opened(url: str, *, poll_seconds: float = HOUR, schema: str = "attune") -> DatabaseBroker:
    return DatabaseBroker(DatabaseSettings(url=url, schema=schema), name="worker-a", poll_seconds=poll_seconds)


@pytest.fixture
def direct(database_url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A plain connection beside the broker."""
    with closing(psycopg.connect(database_url, autocommit=True)) as connection:
        connection.execute("SET search_path TO attune, public")
        yield connection


def test_a_message_is_announced_and_not_found_by_polling(database_url: str) -> None:
    broker, inbox = opened(database_url), Inbox()
    consumer = broker.consumer(subscription(inbox))
    with publishing(broker) as publish, running(consumer):
        until(lambda: consumer.subscribed)
        for number in range(50):  # it would be found in an hour
            publish(dispatch(number))
            inbox.wait(number + 1)


def test_a_notification_that_comes_while_a_statement_runs_is_not_overlooked(database_url: str) -> None:
    """Each delivery causes the next message, which is announced while the consumer settles and takes."""
    broker, inbox, rounds = opened(database_url), Inbox(), 500
    broker.declare([QUEUE])
    publisher = broker.publisher()

    def play(delivery: Delivery) -> None:
        inbox(delivery)
        publisher.send([dispatch(len(inbox.deliveries))])

    with running(publisher, broker.consumer(Subscription(QUEUE, "worker-7", 50, play))):
        publisher.send([dispatch(0)])
        inbox.wait(rounds)


def test_no_transaction_stays_open_while_a_message_is_in_hand(
    database_url: str, direct: psycopg.Connection[tuple[object, ...]]
) -> None:
    broker, inbox = opened(database_url), Inbox(hold=True)
    broker.declare([QUEUE])
    with publishing(broker) as publish, running(broker.consumer(subscription(inbox))):
        publish(dispatch(1))
        inbox.wait(1)
        until(lambda: _states(direct) == {"idle"})


def _states(direct: psycopg.Connection[tuple[object, ...]]) -> set[object]:
    rows = direct.execute("SELECT state FROM pg_stat_activity WHERE application_name LIKE 'worker-a%'")
    return {row[0] for row in rows}


def test_messages_of_a_session_that_no_longer_lives_are_taken_by_another(
    database_url: str, direct: psycopg.Connection[tuple[object, ...]]
) -> None:
    broker, inbox = opened(database_url, poll_seconds=0.1), Inbox()
    broker.declare([QUEUE])
    with publishing(broker) as publish:
        publish(dispatch("dead"), dispatch("alive"), dispatch("dead later"))
    dead, alive, dying = 1_000_001, 1_000_002, 1_000_003
    for session in (alive, dying):
        direct.execute("SELECT pg_advisory_lock(%s, %s)", [EARLIER_SESSION_LOCK, session])
    for session, body in ((dead, b"dead"), (alive, b"alive"), (dying, b"dead later")):
        direct.execute("UPDATE mq_message SET session = %s WHERE body = %s", [session, body])
    with running(broker.consumer(subscription(inbox))):
        assert inbox.wait(1) == [b"dead"]
        assert inbox.deliveries[0].redelivered
        direct.execute("SELECT pg_advisory_unlock(%s, %s)", [EARLIER_SESSION_LOCK, dying])
        assert inbox.wait(2) == [b"dead", b"dead later"]
        direct.execute("SELECT pg_advisory_unlock(%s, %s)", [EARLIER_SESSION_LOCK, alive])
        assert inbox.wait(3) == [b"dead", b"dead later", b"alive"]


def test_sessions_of_one_number_in_two_schemas_have_nothing_to_do_with_each_other(
    database_url: str, direct: psycopg.Connection[tuple[object, ...]]
) -> None:
    database = Database(DatabaseSettings(url=database_url, schema="neighbour"), application_name="attune-tests")
    apply_migrations(database, shipped("migrations"))
    database.close()
    ours, theirs = opened(database_url, poll_seconds=0.1), opened(database_url, poll_seconds=0.1, schema="neighbour")
    inbox, others = Inbox(hold=True), Inbox()
    neighbour = theirs.consumer(subscription(others))
    ours.declare([QUEUE])
    with running(neighbour):
        until(lambda: neighbour.subscribed)
        holder = ours.consumer(Subscription(QUEUE, "worker-7", 1, inbox))
        with publishing(ours) as publish, running(holder):
            publish(dispatch("in hand"))
            inbox.wait(1)
            (number,) = direct.execute("SELECT session FROM attune.mq_message").fetchone() or (None,)
            assert direct.execute("SELECT last_value FROM neighbour.mq_session").fetchone() == (number,)
            neighbour.close()
            late = Inbox()
            with running(ours.consumer(subscription(late))):
                publish(dispatch("next"))
                assert late.wait(1) == [b"next"]  # it has looked for dead sessions before


def test_an_expired_message_of_a_worker_that_is_gone_is_dead_lettered_by_the_others(
    database_url: str, direct: psycopg.Connection[tuple[object, ...]]
) -> None:
    broker, dead = opened(database_url, poll_seconds=0.1), Inbox()
    broker.declare(topology.worker_queues(7))
    with publishing(broker) as publish:
        publish(dispatch("late"))
    direct.execute("UPDATE mq_message SET expires_at = now()")
    letters = Subscription(topology.dead_letter_queue(7), "letters", 5, dead)
    with running(broker.consumer(letters)):
        assert dead.wait(1) == [b"late"]
    assert direct.execute("SELECT count(*) FROM mq_message").fetchone() == (0,)


def test_an_expired_message_is_not_delivered_even_before_anybody_has_buried_it(
    database_url: str, direct: psycopg.Connection[tuple[object, ...]]
) -> None:
    broker, inbox = opened(database_url), Inbox(hold=True)
    broker.declare([QUEUE])
    with (
        publishing(broker) as publish,
        running(broker.consumer(Subscription(QUEUE, "worker-7", 1, inbox))),
    ):
        publish(dispatch("in hand"))
        inbox.wait(1)
        publish(dispatch("late"), dispatch("fresh"))
        direct.execute("UPDATE mq_message SET expires_at = now() WHERE body = 'late'")
        inbox.deliveries[0].ack()
        assert inbox.wait(2) == [b"in hand", b"fresh"]


def test_a_dispatch_expires_five_minutes_after_it_was_sent(
    database_url: str, direct: psycopg.Connection[tuple[object, ...]]
) -> None:
    broker = opened(database_url)
    broker.declare(topology.worker_queues(7))
    with publishing(broker) as publish:
        publish(dispatch("x"), message("y", topology.EXECUTIONS, topology.cancel_key(7)))
    rows = direct.execute("SELECT extract(epoch FROM expires_at - now()) FROM mq_message ORDER BY id").fetchall()
    assert 290 < float(str(rows[0][0])) <= 300
    assert rows[1] == (None,)


def test_nothing_is_left_when_everything_was_acknowledged(
    database_url: str, direct: psycopg.Connection[tuple[object, ...]]
) -> None:
    broker, inbox = opened(database_url), Inbox()
    with publishing(broker) as publish, running(broker.consumer(subscription(inbox))):
        until(lambda: direct.execute("SELECT count(*) FROM mq_binding").fetchone() == (2,))
        publish(*(dispatch(number) for number in range(100)))
        inbox.wait(100)
    assert direct.execute("SELECT count(*) FROM mq_message").fetchone() == (0,)


def test_a_database_without_the_tables_is_refused_with_the_remedy(empty_database_url: str) -> None:
    with pytest.raises(BrokerError) as caught:
        opened(empty_database_url).declare([QUEUE])
    assert "attune db migrate" in str(caught.value.hint)


def test_two_schemas_of_one_database_are_two_brokers(empty_database_url: str) -> None:
    inboxes = {"one": Inbox(), "two": Inbox()}
    brokers = {}
    for schema in inboxes:
        settings = DatabaseSettings(url=empty_database_url, schema=schema)
        database = Database(settings, application_name="test")
        apply_migrations(database, shipped("migrations"), queue_only=True)
        database.close()
        brokers[schema] = opened(empty_database_url, schema=schema)
    consumers = [brokers[schema].consumer(subscription(inbox)) for schema, inbox in inboxes.items()]
    with publishing(brokers["one"]) as one, publishing(brokers["two"]) as two, running(*consumers):
        until(lambda: all(consumer.subscribed for consumer in consumers))
        one(dispatch("for one"))
        inboxes["one"].wait(1)
        two(dispatch("for two"))
        inboxes["two"].wait(1)
    assert [inbox.bodies for inbox in inboxes.values()] == [[b"for one"], [b"for two"]]


def test_declaring_and_publishing_at_once_from_many_programs_disturbs_nobody(database_url: str) -> None:
    inbox = Inbox()
    publishers = [opened(database_url).publisher() for _ in range(6)]
    with running(*publishers, opened(database_url).consumer(subscription(inbox))):
        until(lambda: all(publisher.connected for publisher in publishers))
        opened(database_url).declare(topology.worker_queues(7))
        for publisher in publishers:
            publisher.send([dispatch("x")] * 50)
        inbox.wait(300)
