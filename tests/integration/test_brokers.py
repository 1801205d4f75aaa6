"""What the service relies on, whichever broker it talks to: every test runs against RabbitMQ and the database."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from agent.errors import BrokerError, BrokerUnavailable
from agent.mq import topology
from agent.mq.broker import Delivery, Outgoing, Queue, Subscription
from agent.settings import DatabaseSettings, MessageQueueSettings, Settings
from agent.threads import ThreadGroup
from tests.services.brokers import BrokerCase, Inbox, message, publishing, running, until

WORKER = 7
QUEUE = topology.executions_queue(WORKER)


def dispatch(text: object, worker: int = WORKER) -> Outgoing:
    return message(str(text), topology.EXECUTIONS, topology.dispatch_key(worker))


def subscription(on_delivery: Callable[[Delivery], None], *, prefetch: int = 50, queue: Queue = QUEUE) -> Subscription:
    return Subscription(queue, f"tag-{queue.name}", prefetch, on_delivery)


def drain(case: BrokerCase, queue: Queue = QUEUE) -> list[bytes]:
    """Take what is ready in a queue that nobody else consumes: everything before a message that is sent now."""
    broker, inbox = case.open("drain"), Inbox()
    broker.declare([queue])
    with publishing(broker) as publish, running(broker.consumer(subscription(inbox, queue=queue))):
        exchange, key = queue.bindings[0]
        publish(message("the last one", exchange, key))
        until(lambda: b"the last one" in inbox.bodies)
    return [body for body in inbox.bodies if body != b"the last one"]


def test_a_dispatch_reaches_the_worker_that_it_names_and_no_other(case: BrokerCase) -> None:
    broker = case.open()
    broker.declare([*topology.worker_queues(7), *topology.worker_queues(8)])
    with publishing(broker) as publish:
        publish(dispatch("for seven", 7), dispatch("for eight", 8))
    assert drain(case, topology.executions_queue(7)) == [b"for seven"]
    assert drain(case, topology.executions_queue(8)) == [b"for eight"]


@pytest.mark.parametrize(
    ("pattern", "keys"),
    [
        ("a.b", {"a.b"}),
        ("a.*", {"a.b", "a."}),
        ("*.b", {"a.b", ".b"}),
        ("a.#", {"a", "a.b", "a.b.c", "a."}),
        ("#.c", {"c", "a.b.c"}),
        ("a.#.c", {"a.b.c"}),
        ("#", {"a", "c", "a.b", "a.b.c", "", "a.", ".b", "a+b", "axb"}),
        ("*", {"a", "c", "a+b", "axb"}),
        ("a+b", {"a+b"}),
    ],
)
def test_topic_keys_match_by_words(case: BrokerCase, pattern: str, keys: set[str]) -> None:
    queue = Queue("pattern", ((topology.EVENTS, "sentinel"), (topology.EVENTS, pattern)), {})
    case.open().declare([queue])
    sent = ["a", "c", "a.b", "a.b.c", "", "a.", ".b", "a+b", "axb"]
    with publishing(case.open()) as publish:
        publish(*(message(f"key {key}", topology.EVENTS, key) for key in sent))
    assert drain(case, queue) == [f"key {key}".encode() for key in sent if key in keys]


def test_a_fanout_exchange_ignores_keys_and_a_direct_one_takes_them_literally(case: BrokerCase) -> None:
    told = Queue("told", ((topology.NOTIFICATIONS, ""),), {})
    literal = Queue("literal", ((topology.DEAD_LETTERS, "#"),), {})
    broker = case.open()
    broker.declare([told, literal])
    with publishing(broker) as publish:
        publish(
            message("n", topology.NOTIFICATIONS, "any.key"),
            message("not this", topology.DEAD_LETTERS, "any.key"),
            message("this", topology.DEAD_LETTERS, "#"),
        )
    assert drain(case, told) == [b"n"]
    assert drain(case, literal) == [b"this"]


def test_a_message_that_matches_two_bindings_of_a_queue_arrives_once(case: BrokerCase) -> None:
    queue = Queue("twice", ((topology.EVENTS, "a.b"), (topology.EVENTS, "a.*")), {})
    case.open().declare([queue])
    with publishing(case.open()) as publish:
        publish(message("once", topology.EVENTS, "a.b"))
    assert drain(case, queue) == [b"once"]


def test_a_message_that_nobody_wants_is_confirmed_and_forgotten(case: BrokerCase) -> None:
    case.open().declare([QUEUE])
    with publishing(case.open()) as publish:
        publish(dispatch("nobody", 99))
    assert drain(case) == []


def test_messages_wait_for_their_consumer_and_keep_their_order(case: BrokerCase) -> None:
    case.open().declare([QUEUE])
    with publishing(case.open()) as publish:
        publish(*(dispatch(number) for number in range(300)))
    assert drain(case) == [str(number).encode() for number in range(300)]


def test_no_more_than_the_prefetch_limit_is_in_hand(case: BrokerCase) -> None:
    broker, inbox = case.open(), Inbox(hold=True)
    broker.declare([QUEUE])
    with publishing(broker) as publish, running(broker.consumer(subscription(inbox, prefetch=3))):
        publish(*(dispatch(number) for number in range(10)))
        inbox.wait(3)
        until(lambda: case.ready(QUEUE.name) == 7)
        assert inbox.bodies == [b"0", b"1", b"2"]
        inbox.deliveries[1].ack()
        assert inbox.wait(4) == [b"0", b"1", b"2", b"3"]


def test_what_was_acknowledged_never_comes_back(case: BrokerCase) -> None:
    broker, inbox = case.open(), Inbox(hold=True)
    broker.declare([QUEUE])
    consumer = broker.consumer(subscription(inbox))
    with publishing(broker) as publish, running(consumer):
        publish(*(dispatch(number) for number in range(6)))
        inbox.wait(6)
        # Out of order, one by one and together: only the right ones may go.
        inbox.deliveries[4].ack()
        consumer.settle([inbox.deliveries[0], inbox.deliveries[2], inbox.deliveries[1]])
        inbox.deliveries[0].ack()
    assert drain(case) == [b"3", b"5"]


def test_deliveries_are_settled_from_any_thread(case: BrokerCase) -> None:
    broker, inbox = case.open(), Inbox(hold=True)
    broker.declare([QUEUE])
    with publishing(broker) as publish, running(broker.consumer(subscription(inbox, prefetch=5))):
        publish(*(dispatch(number) for number in range(200)))
        for number in range(0, 200, 5):
            inbox.wait(number + 5)
            threads = ThreadGroup()
            for delivery in inbox.deliveries[number : number + 5]:
                threads.start("settle", delivery.ack)
            assert not threads.join(5)
    assert drain(case) == []


def test_a_requeued_message_comes_again_first_and_says_so(case: BrokerCase) -> None:
    broker, inbox = case.open(), Inbox(hold=True)
    broker.declare([QUEUE])
    with publishing(broker) as publish, running(broker.consumer(subscription(inbox, prefetch=1))):
        publish(dispatch("first"), dispatch("second"))
        inbox.wait(1)
        assert not inbox.deliveries[0].redelivered
        inbox.deliveries[0].reject(requeue=True)
        assert inbox.wait(2) == [b"first", b"first"]
        assert inbox.deliveries[1].redelivered


def test_only_the_first_settlement_counts(case: BrokerCase) -> None:
    broker, inbox = case.open(), Inbox(hold=True)
    broker.declare([QUEUE])
    with publishing(broker) as publish, running(broker.consumer(subscription(inbox, prefetch=2))):
        publish(dispatch(1), dispatch(2), dispatch(3))
        inbox.wait(2)
        inbox.deliveries[0].ack()
        inbox.deliveries[0].reject(requeue=True)
        inbox.deliveries[0].ack()
        assert inbox.wait(3) == [b"1", b"2", b"3"]
    assert drain(case) == [b"2", b"3"]


def test_a_rejected_dispatch_reaches_the_dead_letter_queue(case: BrokerCase) -> None:
    broker, inbox = case.open(), Inbox(hold=True)
    broker.declare(topology.worker_queues(WORKER))
    with publishing(broker) as publish, running(broker.consumer(subscription(inbox))):
        publish(dispatch("poison"), dispatch("good"))
        inbox.wait(2)
        inbox.deliveries[0].reject(requeue=False)
        inbox.deliveries[1].ack()
    assert drain(case, topology.dead_letter_queue(WORKER)) == [b"poison"]
    assert drain(case) == []


def test_a_dead_letter_that_no_binding_wants_is_dropped(case: BrokerCase) -> None:
    broker, inbox = case.open(), Inbox(hold=True)
    broker.declare([QUEUE])  # without the binding for this worker's key
    with publishing(broker) as publish, running(broker.consumer(subscription(inbox))):
        publish(dispatch("poison"))
        inbox.wait(1)
        inbox.deliveries[0].reject(requeue=False)
    assert drain(case) == []
    assert drain(case, topology.DEAD_LETTER_QUEUE) == []


def test_a_message_expires_only_while_it_waits_and_is_dead_lettered(case: BrokerCase) -> None:
    queue = Queue("short", QUEUE.bindings, QUEUE.arguments | {"x-message-ttl": 1000})
    broker, inbox, dead = case.open(), Inbox(hold=True), Inbox()
    broker.declare([queue, topology.dead_letter_queue(WORKER)])
    letters = subscription(dead, queue=topology.dead_letter_queue(WORKER))
    consumer = broker.consumer(subscription(inbox, prefetch=1, queue=queue))
    with publishing(broker) as publish, running(consumer, broker.consumer(letters)):
        until(lambda: consumer.subscribed)
        publish(dispatch("in hand"))
        inbox.wait(1)
        publish(dispatch("waiting"))
        assert dead.wait(1) == [b"waiting"]
        publish(dispatch("later"))
        assert dead.wait(2) == [b"waiting", b"later"]
        inbox.deliveries[0].ack()
    assert inbox.bodies == [b"in hand"]


def test_unsettled_messages_of_a_closed_consumer_go_to_another_one(case: BrokerCase) -> None:
    broker, inbox = case.open(), Inbox(hold=True)
    broker.declare([QUEUE])
    with publishing(broker) as publish, running(broker.consumer(subscription(inbox))):
        publish(dispatch(1), dispatch(2))
        inbox.wait(2)
        inbox.deliveries[0].ack()
    again = Inbox()
    with running(broker.consumer(subscription(again))):
        assert again.wait(1) == [b"2"]
        assert again.deliveries[0].redelivered


def test_after_stop_nothing_new_is_delivered_but_what_is_in_hand_can_be_settled(case: BrokerCase) -> None:
    broker, inbox = case.open(), Inbox(hold=True)
    broker.declare([QUEUE])
    consumer = broker.consumer(subscription(inbox, prefetch=2))
    with publishing(broker) as publish, running(consumer):
        publish(*(dispatch(number) for number in range(5)))
        inbox.wait(2)
        assert consumer.subscribed
        consumer.stop()
        until(lambda: not consumer.subscribed)
        inbox.deliveries[0].ack()
        inbox.deliveries[1].reject(requeue=True)
        until(lambda: case.ready(QUEUE.name) == 4)
        assert inbox.bodies == [b"0", b"1"]
        rest = Inbox()
        with running(broker.consumer(subscription(rest))):
            assert rest.wait(4) == [b"1", b"2", b"3", b"4"]
    assert inbox.bodies == [b"0", b"1"]
    assert drain(case) == []


def test_two_consumers_share_a_queue_without_taking_anything_twice(case: BrokerCase) -> None:
    broker, one, two = case.open(), Inbox(), Inbox()
    broker.declare([QUEUE])
    consumers = [broker.consumer(subscription(inbox, prefetch=4)) for inbox in (one, two)]
    with publishing(broker) as publish, running(*consumers):
        until(lambda: all(consumer.subscribed for consumer in consumers))
        publish(*(dispatch(number) for number in range(200)))
        until(lambda: len(one.bodies) + len(two.bodies) >= 200)
    assert sorted(map(int, one.bodies + two.bodies)) == list(range(200))


def test_messages_of_many_threads_all_arrive_once_and_in_the_order_of_each_thread(case: BrokerCase) -> None:
    broker, inbox = case.open(), Inbox()
    broker.declare([QUEUE])
    publisher = broker.publisher()

    def send(source: int) -> None:
        for number in range(0, 300, 3):
            publisher.send([dispatch(f"{source}-{number + step}") for step in range(3)])

    with running(publisher, broker.consumer(subscription(inbox))):
        threads = ThreadGroup()
        for source in range(4):
            threads.start(f"source-{source}", lambda source=source: send(source))  # type: ignore[misc]
        assert not threads.join(10)
        assert publisher.flush(15)
        assert publisher.backlog == 0
        received = [body.decode() for body in inbox.wait(1200)]
    for source in range(4):
        assert [body for body in received if body.startswith(f"{source}-")] == [f"{source}-{n}" for n in range(300)]


def test_a_large_message_arrives_whole(case: BrokerCase) -> None:
    broker, inbox = case.open(), Inbox()
    broker.declare([QUEUE])
    body = bytes(range(256)) * 20_000
    with publishing(broker) as publish, running(broker.consumer(subscription(inbox))):
        publish(Outgoing(topology.EXECUTIONS, topology.dispatch_key(WORKER), body, "id", "id", 1))
        assert inbox.wait(1) == [body]


def test_what_was_sent_before_the_publisher_runs_is_published_when_it_does(case: BrokerCase) -> None:
    broker, inbox = case.open(), Inbox()
    broker.declare([QUEUE])
    publisher = broker.publisher()
    publisher.send([dispatch("early")])
    assert not publisher.flush(0.05)
    with running(publisher, broker.consumer(subscription(inbox))):
        assert publisher.flush(15)
        publisher.send([dispatch("late")])
        assert inbox.wait(2) == [b"early", b"late"]


def test_close_publishes_what_was_sent_before_it(case: BrokerCase) -> None:
    broker = case.open()
    broker.declare([QUEUE])
    publisher = broker.publisher()
    with running(publisher):
        until(lambda: publisher.connected)
        publisher.send([dispatch(number) for number in range(100)])
    assert len(drain(case)) == 100


def test_an_error_in_the_callback_ends_the_consumer_and_the_message_is_not_lost(case: BrokerCase) -> None:
    broker = case.open()
    broker.declare([QUEUE])

    def fail(delivery: Delivery) -> None:
        raise ZeroDivisionError

    died: list[BaseException] = []
    over = threading.Event()

    def note(_name: str, error: BaseException) -> None:
        died.append(error)
        over.set()

    threads = ThreadGroup(note)
    threads.start("consumer", broker.consumer(subscription(fail)).run)
    with publishing(broker) as publish:
        publish(dispatch("poison"))
        assert over.wait(15)
    assert not threads.join(15)
    assert [type(error) for error in died] == [ZeroDivisionError]
    assert drain(case) == [b"poison"]


def test_topology_is_declared_again_without_complaint(case: BrokerCase) -> None:
    for _ in range(2):
        case.open().declare([*topology.worker_queues(WORKER), *topology.EXECUTOR_QUEUES])


@pytest.mark.parametrize("ttl", [None, 1000])
def test_other_arguments_for_an_existing_queue_are_refused(case: BrokerCase, ttl: int | None) -> None:
    broker = case.open()
    broker.declare([QUEUE])
    arguments = {key: value for key, value in QUEUE.arguments.items() if key != "x-message-ttl"}
    if ttl is not None:
        arguments["x-message-ttl"] = ttl
    with pytest.raises(BrokerError, match=QUEUE.name):
        broker.declare([Queue(QUEUE.name, QUEUE.bindings, arguments)])


def test_a_deleted_queue_takes_its_messages_and_bindings_along(case: BrokerCase) -> None:
    broker = case.open()
    broker.declare(topology.worker_queues(WORKER))
    with publishing(broker) as publish:
        publish(dispatch("gone"))
        broker.delete(topology.owned_queues(WORKER), unbind=[topology.dead_letter_binding(WORKER)])
        broker.delete(topology.owned_queues(WORKER))
        publish(dispatch("nowhere"))
        publish(message("nor here", topology.DEAD_LETTERS, topology.dispatch_key(WORKER)))
    assert drain(case) == []
    assert drain(case, topology.DEAD_LETTER_QUEUE) == []


def test_a_consumer_whose_queue_was_deleted_declares_it_again(case: BrokerCase) -> None:
    broker, inbox = case.open(), Inbox()
    broker.declare([QUEUE])
    consumer = broker.consumer(subscription(inbox))
    with publishing(broker) as publish, running(consumer):
        until(lambda: consumer.subscribed)
        broker.delete([QUEUE.name])

        def arrives() -> bool:
            publish(dispatch("again"))
            return b"again" in inbox.bodies

        until(arrives)


def test_both_come_back_after_all_connections_were_cut(case: BrokerCase, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "agent.mq")
    broker, inbox = case.open(), Inbox(hold=True)
    broker.declare([QUEUE])
    consumer, publisher = broker.consumer(subscription(inbox)), broker.publisher()
    with running(consumer, publisher):
        publisher.send([dispatch("before")])
        inbox.wait(1)
        case.cut()
        publisher.send([dispatch("after")])
        assert publisher.flush(15)
        inbox.wait(3)
        assert inbox.bodies.count(b"before") == 2
        assert any(delivery.redelivered for delivery in inbox.deliveries[1:])
        for delivery in inbox.deliveries[1:]:
            delivery.ack()
        until(lambda: consumer.connected and publisher.connected)  # type: ignore[attr-defined]
    assert drain(case) == []
    lost = [record for record in caplog.records if "no connection" in record.message]
    back = [record for record in caplog.records if "again after" in record.message]
    assert len(lost) == len(back) == 2


def test_settling_a_delivery_of_a_lost_connection_leaves_its_successor_alone(case: BrokerCase) -> None:
    broker, inbox = case.open(), Inbox(hold=True)
    broker.declare([QUEUE])
    with publishing(broker) as publish, running(broker.consumer(subscription(inbox))):
        publish(dispatch("only"))
        inbox.wait(1)
        case.cut()
        inbox.wait(2)
        inbox.deliveries[0].ack()  # the end of the consumer comes after all that was acknowledged before
    assert drain(case) == [b"only"]


def test_nothing_is_lost_while_connections_are_cut_again_and_again(case: BrokerCase) -> None:
    broker, inbox = case.open(), Inbox()
    broker.declare([QUEUE])
    publisher = broker.publisher()
    with running(publisher, broker.consumer(subscription(inbox))):
        for number in range(600):
            publisher.send([dispatch(number)])
            if number % 200 == 100:
                case.cut()
        assert publisher.flush(60)
        until(lambda: len(set(inbox.bodies)) == 600)
    first_seen = list(dict.fromkeys(map(int, inbox.bodies)))
    assert sorted(first_seen) == list(range(600))


UNREACHABLE = [
    Settings(message_queue=MessageQueueSettings(url="amqp://guest:s3cret@127.0.0.1:1/")),
    Settings(
        database=DatabaseSettings(url="postgresql://u:s3cret@127.0.0.1:1/x"),
        message_queue=MessageQueueSettings(url="database"),
    ),
]


@pytest.mark.parametrize("settings", UNREACHABLE, ids=["rabbitmq", "database"])
class TestABrokerThatIsAway:
    def test_is_named_without_the_password(self, settings: Settings) -> None:
        from agent.mq.connect import open_broker

        with pytest.raises(BrokerUnavailable) as caught:
            open_broker(settings, name="tester").declare([QUEUE])
        assert "127.0.0.1:1" in str(caught.value)
        assert "s3cret" not in str(caught.value) + repr(caught.value.__cause__)
        assert caught.value.exit_code == 4

    def test_neither_blocks_nor_ends_its_users(self, settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
        from agent.mq.connect import open_broker

        caplog.set_level(logging.INFO)
        broker = open_broker(settings, name="tester")
        publisher, consumer = broker.publisher(), broker.consumer(subscription(Inbox()))
        with running(publisher, consumer):
            publisher.send([dispatch("kept")])
            until(lambda: len(caplog.records) >= 2)
            assert not publisher.flush(0.8)
            assert publisher.backlog == 1
            assert not publisher.connected
            assert not consumer.subscribed
        assert len(caplog.records) == 2, "one line for each connection, not for each attempt"
        assert "s3cret" not in caplog.text
