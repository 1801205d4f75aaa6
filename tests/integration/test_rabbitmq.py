"""What only RabbitMQ can do to a worker: restarts, channel errors, certificates, alarms."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pika
import pytest

from agent.errors import BrokerError, BrokerUnavailable
from agent.mq import topology
from agent.mq.broker import Broker, Outgoing, Queue, Subscription
from agent.mq.connect import open_broker
from agent.settings import MessageQueueSettings, Settings
from tests.services.brokers import Inbox, message, publishing, running, until
from tests.services.descriptors import own_sockets
from tests.services.proxy import Proxy, broker_proxy
from tests.services.rabbitmq import RabbitNode
from tests.services.tls import Authority, make_authority

pytestmark = pytest.mark.rabbitmq

QUEUE = topology.executions_queue(7)


def dispatch(text: object) -> Outgoing:
    return message(str(text), topology.EXECUTIONS, topology.dispatch_key(7))


def subscription(inbox: Inbox) -> Subscription:
    return Subscription(QUEUE, "worker-7", 50, inbox)


def opened(url: str, *, ca_file: Path | None = None, name: str = "worker-a") -> Broker:
    queue = MessageQueueSettings(url=url, ca_file=ca_file, connect_timeout=5)
    return open_broker(Settings(message_queue=queue), name=name)


@pytest.fixture
def broker(amqp_vhost_url: str) -> Broker:
    made = opened(amqp_vhost_url)
    made.declare([QUEUE])
    return made


@pytest.fixture
def direct(amqp_vhost_url: str) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    """A plain channel beside the broker under test, as another service would have it."""
    with closing(pika.BlockingConnection(pika.URLParameters(amqp_vhost_url))) as connection:
        yield connection.channel()


def test_another_service_declares_the_same_topology_without_complaint(
    broker: Broker, direct: pika.adapters.blocking_connection.BlockingChannel
) -> None:
    broker.declare(topology.worker_queues(7))
    for exchange, kind in [
        ("attune.events", "topic"),
        ("attune.executions", "topic"),
        ("attune.notifications", "fanout"),
        ("attune.dlx", "direct"),
    ]:
        direct.exchange_declare(exchange, kind, durable=True, auto_delete=False)
    dead = {"x-dead-letter-exchange": "attune.dlx"}
    direct.queue_declare("worker.7.executions", durable=True, arguments=dead | {"x-message-ttl": 300000})
    direct.queue_declare("worker.7.packs", durable=True, arguments=dead)
    direct.queue_declare("worker.7.cancel", durable=True, arguments=dead)
    direct.queue_declare("attune.dlx.queue", durable=True)


def test_messages_carry_the_properties_that_other_services_send(
    broker: Broker, direct: pika.adapters.blocking_connection.BlockingChannel
) -> None:
    sent = dispatch("x")
    with publishing(broker) as publish:
        publish(sent)
    method, properties, body = direct.basic_get(QUEUE.name, auto_ack=True)
    assert body == sent.body
    assert (method.exchange, method.routing_key) == (sent.exchange, sent.routing_key)
    assert (properties.content_type, properties.delivery_mode) == ("application/json", 2)
    assert (properties.message_id, properties.correlation_id) == (sent.message_id, sent.correlation_id)
    assert properties.timestamp == sent.timestamp
    assert [properties.headers, properties.type, properties.app_id, properties.expiration] == [None] * 4


def test_exchanges_of_another_type_do_not_keep_a_worker_from_working(
    amqp_vhost_url: str, direct: pika.adapters.blocking_connection.BlockingChannel
) -> None:
    direct.exchange_declare("attune.events", "topic", durable=True)
    direct.exchange_declare("attune.executions", "topic", durable=True)
    direct.exchange_declare("attune.notifications", "topic", durable=True)
    broker, inbox = opened(amqp_vhost_url), Inbox()
    broker.declare([QUEUE])
    with publishing(broker) as publish, running(broker.consumer(subscription(inbox))):
        publish(dispatch("works"))
        inbox.wait(1)


def test_a_queue_with_other_arguments_is_a_broker_error_that_names_it(
    amqp_vhost_url: str, direct: pika.adapters.blocking_connection.BlockingChannel
) -> None:
    direct.queue_declare("worker.7.executions", durable=True)
    with pytest.raises(BrokerError, match=r"406 PRECONDITION_FAILED.*worker\.7\.executions"):
        opened(amqp_vhost_url).declare([QUEUE])


def test_a_wrong_password_and_a_missing_virtual_host_are_told_apart(amqp_url: str) -> None:
    with pytest.raises(BrokerUnavailable, match="user name or the password"):
        opened(amqp_url.replace("guest:guest", "guest:wrong")).declare([])
    with pytest.raises(BrokerUnavailable, match="virtual host"):
        opened(amqp_url.replace("%2f", "absent")).declare([])


def test_a_restarted_broker_finds_everybody_back(rabbit_node: RabbitNode, broker: Broker) -> None:
    inbox = Inbox()
    consumer, publisher = broker.consumer(subscription(inbox)), broker.publisher()
    with running(consumer, publisher):
        publisher.send([dispatch("before")])
        inbox.wait(1)
        rabbit_node.stop_app()
        until(lambda: not consumer.subscribed and not publisher.connected)
        publisher.send([dispatch(number) for number in range(50)])
        assert not publisher.flush(0.5)
        rabbit_node.start_app()
        assert publisher.flush(60)
        assert inbox.wait(51)[1:] == [str(number).encode() for number in range(50)]
        assert publisher.backlog == 0


def test_messages_and_queues_survive_a_power_cut_of_the_broker(rabbit_node: RabbitNode, broker: Broker) -> None:
    inbox = Inbox()
    with publishing(broker) as publish:
        publish(*(dispatch(number) for number in range(20)))
    rabbit_node.kill()
    rabbit_node.start()
    with running(broker.consumer(subscription(inbox))):
        assert inbox.wait(20) == [str(number).encode() for number in range(20)]


def test_a_consumer_that_the_broker_gave_up_on_subscribes_again(
    rabbit_node: RabbitNode, amqp_vhost_url: str, broker: Broker
) -> None:
    """An unknown delivery tag makes the broker close the channel (406), as its consumer timeout does."""
    inbox = Inbox(hold=True)
    consumer = broker.consumer(subscription(inbox))
    with publishing(broker) as publish, running(consumer):
        publish(dispatch("in hand"))
        inbox.wait(1)
        channel = consumer._channel  # type: ignore[attr-defined]
        consumer._call(lambda: channel.basic_ack(4711))  # type: ignore[attr-defined]
        assert inbox.wait(2) == [b"in hand", b"in hand"]
        assert inbox.deliveries[1].redelivered


def test_a_publisher_whose_channel_the_broker_closed_repeats_what_was_not_confirmed(broker: Broker) -> None:
    inbox, publisher = Inbox(), broker.publisher()
    with running(publisher, broker.consumer(subscription(inbox))):
        until(lambda: publisher.connected)
        publisher.send([message("nowhere", "no.such.exchange", "x"), dispatch("good")])
        # The first one closes the channel each time: it must neither be dropped in silence nor keep the loop spinning.
        assert not publisher.flush(1)
        assert publisher.backlog >= 1


def test_a_queue_that_refuses_a_message_gets_it_again_when_it_has_room(
    broker: Broker, direct: pika.adapters.blocking_connection.BlockingChannel
) -> None:
    direct.queue_declare("tiny", durable=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    direct.queue_bind("tiny", topology.EVENTS, "tiny.key")
    publisher = broker.publisher()
    with running(publisher):
        publisher.send([message(text, topology.EVENTS, "tiny.key") for text in ("one", "two")])
        assert not publisher.flush(0.5)
        assert publisher.backlog == 1
        assert direct.basic_get("tiny", auto_ack=True)[2] == b"one"
        assert publisher.flush(5)
        assert direct.basic_get("tiny", auto_ack=True)[2] == b"two"


def test_an_alarm_holds_messages_back_and_close_still_ends(rabbit_node: RabbitNode, broker: Broker) -> None:
    publisher = broker.publisher()
    rabbit_node.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        with running(publisher):
            publisher.send([dispatch("held")])
            assert not publisher.flush(1)
            publisher.close()
    finally:
        rabbit_node.ctl("set_vm_memory_high_watermark", "0.4")


def test_an_operator_sees_which_worker_a_connection_belongs_to(
    rabbit_node: RabbitNode, amqp_vhost_url: str, broker: Broker
) -> None:
    consumer = broker.consumer(subscription(Inbox()))
    with running(consumer):
        until(lambda: consumer.subscribed)
        assert "worker-a worker-7" in rabbit_node.ctl("list_connections", "client_properties")


@pytest.fixture
def network(amqp_vhost_url: str) -> Iterator[tuple[Proxy, str]]:
    """A way to the broker that a test can break, and the URL that leads through it."""
    with broker_proxy(amqp_vhost_url) as made:
        yield made


def test_what_was_sent_and_never_confirmed_is_repeated_in_order(network: tuple[Proxy, str], broker: Broker) -> None:
    proxy, url = network
    publisher, inbox = opened(url).publisher(), Inbox()
    with running(publisher, broker.consumer(subscription(inbox))):
        until(lambda: publisher.connected)
        proxy.swallow()
        publisher.send([dispatch(number) for number in range(100)])
        assert not publisher.flush(0.3)
        assert publisher.backlog == 100
        proxy.accept()
        proxy.cut()
        publisher.send([dispatch(100)])
        assert publisher.flush(10)
        assert inbox.wait(101) == [str(number).encode() for number in range(101)]


def test_more_than_the_network_takes_at_once_goes_out_whole_on_the_same_connection(
    network: tuple[Proxy, str], broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    proxy, url = network
    publisher, inbox = opened(url).publisher(), Inbox()
    bodies = [str(number) * 100_000 for number in range(100, 200)]
    with running(publisher, broker.consumer(subscription(inbox))):
        until(lambda: publisher.connected)
        proxy.pause()
        for body in bodies:
            publisher.send([dispatch(body)])
        assert publisher.backlog == len(bodies)
        proxy.accept()
        assert publisher.flush(30)
        assert inbox.wait(len(bodies)) == [body.encode() for body in bodies]
    assert not caplog.records


def test_a_connection_that_went_silent_is_noticed_and_replaced(network: tuple[Proxy, str], broker: Broker) -> None:
    proxy, url = network
    consumer = opened(url + "?heartbeat=1").consumer(subscription(Inbox()))
    with running(consumer):
        until(lambda: consumer.subscribed)
        accepted, pieces = proxy.accepted, proxy.pieces
        until(lambda: proxy.pieces >= pieces + 8)  # heartbeats, for longer than silence would be believed in
        assert (consumer.subscribed, proxy.accepted) == (True, accepted)
        proxy.swallow()
        until(lambda: not consumer.subscribed)
        proxy.accept()
        until(lambda: consumer.subscribed)


def test_closing_does_not_wait_for_a_broker_that_went_silent(network: tuple[Proxy, str], broker: Broker) -> None:
    proxy, url = network
    consumer, publisher = opened(url).consumer(subscription(Inbox())), opened(url).publisher()
    with running(consumer, publisher):
        until(lambda: consumer.subscribed and publisher.connected)
        proxy.swallow()
        publisher.send([dispatch("never confirmed")])
        ports = {_client_port(part) for part in (consumer, publisher)}
    assert not ports & _connected_ports(), "a connection was left open"


def _client_port(part: object) -> int:
    port: int = part._connection._transport._sock.getsockname()[1]  # type: ignore[attr-defined]
    return port


def _connected_ports() -> set[int]:
    """Local ports of this process's connections."""
    return {twin.getsockname()[1] for twin in own_sockets() if twin.family == socket.AF_INET}


class TestTls:
    def test_a_certificate_of_the_named_authority_is_trusted(
        self, rabbit_node: RabbitNode, authority: Authority
    ) -> None:
        broker, inbox = opened(rabbit_node.tls_url, ca_file=authority.certificate), Inbox()
        broker.declare([QUEUE])
        with publishing(broker) as publish, running(broker.consumer(subscription(inbox))):
            publish(dispatch("secret"), dispatch("x" * 300_000))
            assert inbox.wait(2)[0] == b"secret"
        broker.delete([QUEUE.name])

    def test_one_of_another_authority_is_refused(self, rabbit_node: RabbitNode, tmp_path: Path) -> None:
        stranger = make_authority(tmp_path, name="Somebody else")
        with pytest.raises(BrokerUnavailable, match="certificate is not trusted"):
            opened(rabbit_node.tls_url, ca_file=stranger.certificate).declare([])

    def test_one_that_the_system_does_not_know_is_refused(self, rabbit_node: RabbitNode) -> None:
        with pytest.raises(BrokerUnavailable, match="certificate is not trusted"):
            opened(rabbit_node.tls_url).declare([])

    def test_one_for_another_host_is_refused(self, rabbit_node: RabbitNode, authority: Authority) -> None:
        url = rabbit_node.tls_url.replace("localhost", "127.0.0.1")
        with pytest.raises(BrokerUnavailable, match=r"certificate is not trusted.*127"):
            opened(url, ca_file=authority.certificate).declare([])

    def test_consumers_refuse_it_too_and_keep_trying(
        self, rabbit_node: RabbitNode, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        stranger = make_authority(tmp_path, name="Somebody else")
        broker = opened(rabbit_node.tls_url, ca_file=stranger.certificate)
        consumer = broker.consumer(subscription(Inbox()))
        with running(consumer):
            until(lambda: "not trusted" in caplog.text)
            assert not consumer.subscribed

    def test_plain_amqp_on_a_tls_port_is_unreachable_not_a_crash(self, rabbit_node: RabbitNode) -> None:
        with pytest.raises(BrokerUnavailable):
            opened(rabbit_node.tls_url.replace("amqps", "amqp")).declare([])


@pytest.mark.alone
def test_a_replaced_queue_argument_does_not_spin(broker: Broker) -> None:
    """A consumer whose queue can't be declared pauses between attempts instead of hammering the broker."""
    other = Queue(QUEUE.name, QUEUE.bindings, {"x-message-ttl": 1})
    consumer = broker.consumer(replace(subscription(Inbox()), queue=other))
    before = time.process_time()
    with running(consumer):
        time.sleep(1)
        assert not consumer.subscribed
    assert time.process_time() - before < 0.5


@pytest.fixture
def small_messages(rabbit_node: RabbitNode) -> Iterator[int]:
    """The largest message that the broker takes; new channels go by it."""
    setting = "application:{}_env(rabbit, max_message_size{})."
    rabbit_node.ctl("eval", setting.format("set", ", 100000"))
    yield 100_000
    rabbit_node.ctl("eval", setting.format("unset", ""))


def test_what_is_larger_than_the_broker_takes_holds_up_no_other(small_messages: int, broker: Broker) -> None:
    inbox = Inbox()
    before, large, after, later = (dispatch(text) for text in ("before", "large", "after", "later"))
    with running(broker.consumer(subscription(inbox))), publishing(broker) as publish:
        publish(before, replace(large, body=b"x" * (small_messages + 1)), after)
        publish(later)
        until(lambda: later.body in inbox.bodies)
    # What was on its way when the channel was closed may have come twice.
    assert list(dict.fromkeys(inbox.bodies)) == [before.body, after.body, later.body]


def test_a_connection_that_is_accepted_and_reset_is_a_failed_attempt(
    network: tuple[Proxy, str], broker: Broker
) -> None:
    proxy, url = network
    proxy.reset()
    consumer, publisher = opened(url).consumer(subscription(Inbox())), opened(url).publisher()
    with running(consumer, publisher):
        until(lambda: proxy.accepted > 12)
        with pytest.raises(BrokerUnavailable):
            opened(url).declare([QUEUE])
        proxy.accept()
        until(lambda: consumer.subscribed and publisher.connected)
