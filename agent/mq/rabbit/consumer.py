"""Receive from one queue of RabbitMQ and settle what was received."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Literal, cast

from pika.exceptions import ConsumerCancelled

from agent.mq.broker import Delivery, Subscription
from agent.mq.rabbit.address import RabbitAddress
from agent.mq.rabbit.declaration import declare_queue
from agent.mq.rabbit.link import Link

Settlement = Literal["ack", "requeue", "drop"]


class RabbitDelivery:
    """One message of one channel; a settlement that comes after the channel has gone is ignored."""

    __slots__ = ("_consumer", "body", "channel_count", "redelivered", "tag")

    def __init__(self, consumer: RabbitConsumer, channel_count: int, tag: int, redelivered: bool, body: bytes) -> None:
        """``tag`` is the broker's number for it, unique in the channel with that count."""
        self._consumer = consumer
        self.channel_count = channel_count
        self.tag = tag
        self.redelivered = redelivered
        self.body = body

    def ack(self) -> None:
        """Tell the broker that the message is done with."""
        self._consumer.decide(self, "ack")

    def reject(self, *, requeue: bool) -> None:
        """Return the message to its queue or drop it."""
        self._consumer.decide(self, "requeue" if requeue else "drop")


class RabbitConsumer(Link):
    """See ``broker.Consumer``."""

    def __init__(self, address: RabbitAddress, subscription: Subscription, *, name: str) -> None:
        """Prepare; ``run`` connects."""
        super().__init__(address, name=name)
        self._subscription = subscription
        self._stopped = False
        self._subscribed = False
        self._channel_count = 0
        # Tags in hand, in the order of arrival: RabbitMQ numbers them upwards.
        self._in_hand: dict[int, None] = {}
        self._decided: deque[tuple[RabbitDelivery, Settlement]] = deque()
        self._wakened = False

    @property
    def subscribed(self) -> bool:
        """Whether the broker is delivering to this consumer now."""
        return self._subscribed

    def stop(self) -> None:
        """Take no new deliveries; what arrives while the broker is told goes back to the queue."""
        self._call(self._stop)
        self._stopped = True

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge many with one wake-up."""
        self._decided.extend((cast(RabbitDelivery, delivery), "ack") for delivery in deliveries)
        self._wake()

    def decide(self, delivery: RabbitDelivery, settlement: Settlement) -> None:
        """Settle one delivery."""
        self._decided.append((delivery, settlement))
        self._wake()

    def _wake(self) -> None:
        if not self._wakened:
            self._wakened = True
            self._now_or_soon(self._send_decisions)

    def _prepare(self, channel: Any) -> None:
        if self._stopped:
            return
        self._channel_count += 1
        for queue in (self._subscription.queue, *self._subscription.also_declare):
            declare_queue(channel, queue)
        channel.add_on_cancel_callback(lambda frame: self._break_off(channel, ConsumerCancelled(frame)))
        channel.basic_qos(prefetch_count=self._subscription.prefetch, callback=lambda _: self._consume(channel))

    def _consume(self, channel: Any) -> None:
        if not self._stopped:
            channel.basic_consume(
                self._subscription.queue.name,
                self._receive,
                consumer_tag=self._subscription.tag,
                callback=lambda _: self._consuming(),
            )

    def _consuming(self) -> None:
        self._report_up()
        self._subscribed = True
        if self._stopped:
            self._stop()

    def _receive(self, _channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        tag = method.delivery_tag
        self._in_hand[tag] = None
        delivery = RabbitDelivery(self, self._channel_count, tag, method.redelivered, body)
        if self._failure is not None or self._stopped:
            delivery.reject(requeue=True)
            return
        try:
            self._subscription.on_delivery(delivery)
        except Exception as error:  # noqa: BLE001 - pika would take it for a broken connection and carry on
            self._fail(error)

    def _send_decisions(self) -> None:
        self._wakened = False
        acked: set[int] = set()
        while self._decided:
            delivery, settlement = self._decided.popleft()
            tag = delivery.tag
            if delivery.channel_count != self._channel_count or tag not in self._in_hand or tag in acked:
                continue
            if settlement == "ack":
                acked.add(tag)
            elif self._usable():
                del self._in_hand[tag]
                self._channel.basic_reject(tag, requeue=settlement == "requeue")
        if acked and self._usable():
            self._acknowledge(acked)

    def _usable(self) -> bool:
        return self._channel is not None and self._channel.is_open

    def _acknowledge(self, tags: set[int]) -> None:
        """Acknowledge with one frame as far as nothing older is still in hand, the others one by one."""
        last = 0
        for tag in self._in_hand:
            if tag not in tags:
                break
            last = tag
        if last:
            self._channel.basic_ack(last, multiple=True)
        for tag in tags:
            del self._in_hand[tag]
            if tag > last:
                self._channel.basic_ack(tag)

    def _stop(self) -> None:
        self._stopped = True
        self._wanted = False
        if self._subscribed and self._usable():
            self._subscribed = False
            # pika returns to the queue what arrives between this and the broker's answer.
            self._channel.basic_cancel(self._subscription.tag)

    def _drop(self) -> None:
        self._subscribed = False
        self._channel_count += 1
        self._in_hand.clear()
        self._decided.clear()

    def _finish(self) -> bool:
        self._send_decisions()
        return True
