"""What waits for a broker's confirmation stays in order, is repeated after a loss, and is never dropped in silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from pika.exceptions import ChannelClosedByBroker
from pika.frame import Method
from pika.spec import Basic

from agent.errors import BrokerUnavailable
from agent.mq.broker import MAX_BACKLOG, Outgoing
from agent.mq.rabbit.address import rabbit_address
from agent.mq.rabbit.publisher import RabbitPublisher


def message(number: int) -> Outgoing:
    return Outgoing("attune.executions", "x", b"", str(number), str(number), 1_700_000_000 + number)


class FakeChannel:
    """A channel that keeps what is published on it."""

    def __init__(self) -> None:
        self.published: list[str] = []
        self.is_open = True
        self.connection = self
        self.confirmed: Callable[[Method], None]

    def confirm_delivery(self, on_confirmation: Callable[[Method], None], callback: Callable[[Any], None]) -> None:
        self.confirmed = on_confirmation
        callback(None)

    def publish(self, _channel: Any, message: Outgoing) -> None:
        self.published.append(message.message_id)

    def add_on_connection_blocked_callback(self, _: Any) -> None:
        """Nothing blocks here."""

    add_on_connection_unblocked_callback = add_on_connection_blocked_callback

    def close(self) -> None:
        self.is_open = False

    @contextmanager
    def together(self) -> Iterator[None]:
        yield


class FakeLoop:
    """Keeps what is to be called later."""

    def __init__(self) -> None:
        self.later: list[Callable[[], None]] = []

    def call_later(self, _seconds: float, callback: Callable[[], None]) -> None:
        self.later.append(callback)


class LinkedPublisher(RabbitPublisher):
    """A publisher whose link is up or down as a test says, without a connection or a thread."""

    def __init__(self) -> None:
        super().__init__(rabbit_address("amqp://h"), name="publisher")
        self._loop.close()
        self.loop = self._loop = FakeLoop()  # type: ignore[assignment]
        self.channel = FakeChannel()

    def _now_or_soon(self, callback: Callable[[], None]) -> None:
        callback()

    def open(self) -> None:
        """Connect, with a new channel."""
        self.channel = self._channel = self._connection = FakeChannel()  # type: ignore[assignment]
        self._prepare(self.channel)

    def close_channel(self, text: str) -> None:
        """Let the broker close the channel with these words, and the connection end because of it."""
        self._channel_closed(self.channel, ChannelClosedByBroker(406, text))
        self.lose()

    def lose(self) -> None:
        """Lose the connection."""
        self._up = False
        self._channel = self._connection = None
        self._drop()

    def answer(self, tag: int, *, multiple: bool = False, stored: bool = True) -> None:
        """Let the broker confirm or refuse what has this number on the channel."""
        self.channel.confirmed(Method(1, (Basic.Ack if stored else Basic.Nack)(tag, multiple)))

    def sent(self, numbers: Sequence[int]) -> None:
        self.send([message(number) for number in numbers])


@pytest.fixture
def publisher() -> LinkedPublisher:
    return LinkedPublisher()


@pytest.fixture
def connected(publisher: LinkedPublisher) -> LinkedPublisher:
    publisher.open()
    return publisher


def test_what_is_sent_without_a_connection_waits_and_goes_out_in_order(publisher: LinkedPublisher) -> None:
    publisher.sent([1, 2])
    publisher.sent([3])
    assert (publisher.backlog, publisher.channel.published) == (3, [])
    publisher.open()
    assert publisher.channel.published == ["1", "2", "3"]


def test_what_is_sent_counts_until_it_is_confirmed(connected: LinkedPublisher) -> None:
    connected.sent([1, 2, 3])
    assert connected.backlog == 3
    connected.answer(2)
    assert (connected.backlog, connected.flush(0)) == (2, False)
    connected.answer(3, multiple=True)
    assert (connected.backlog, connected.flush(0)) == (0, True)


def test_a_confirmation_of_everything_has_the_number_zero(connected: LinkedPublisher) -> None:
    connected.sent([1, 2])
    connected.answer(0, multiple=True)
    assert connected.backlog == 0


def test_what_was_not_confirmed_is_repeated_in_order_before_what_came_later(connected: LinkedPublisher) -> None:
    connected.sent([1, 2, 3])
    connected.answer(2)
    connected.lose()
    connected.sent([4])
    assert connected.backlog == 3
    connected.open()
    assert connected.channel.published == ["1", "3", "4"]


def test_numbers_begin_anew_on_each_channel(connected: LinkedPublisher) -> None:
    connected.sent([1, 2])
    connected.lose()
    connected.open()
    connected.answer(1)
    connected.lose()
    connected.open()
    assert connected.channel.published == ["2"]


def test_what_the_broker_refuses_is_sent_again_after_a_pause(connected: LinkedPublisher) -> None:
    connected.sent([1, 2])
    connected.answer(2, multiple=True, stored=False)
    assert (connected.backlog, connected.flush(0), connected.channel.published) == (2, False, ["1", "2"])
    for callback in connected.loop.later:
        callback()
    assert connected.channel.published == ["1", "2", "1", "2"]
    connected.answer(4, multiple=True)
    assert (connected.backlog, connected.flush(0)) == (0, True)


def test_what_was_refused_before_a_loss_is_repeated_too(connected: LinkedPublisher) -> None:
    connected.sent([1, 2])
    connected.answer(1, stored=False)
    connected.lose()
    for callback in connected.loop.later:
        callback()
    connected.open()
    assert sorted(connected.channel.published) == ["1", "2"]


def test_the_oldest_is_known_whatever_it_waits_for(connected: LinkedPublisher) -> None:
    assert connected.oldest is None
    connected.sent([1, 2, 3])
    assert connected.oldest == 1_700_000_001
    connected.answer(1, stored=False)
    assert connected.oldest == 1_700_000_001
    for callback in connected.loop.later:
        callback()
    connected.answer(4)
    assert connected.oldest == 1_700_000_002
    connected.lose()
    assert connected.oldest == 1_700_000_002


def test_a_flush_waits_for_what_was_sent_before_it(connected: LinkedPublisher) -> None:
    connected.sent([1])
    connected.answer(1)
    assert connected.flush(0)
    connected.lose()
    connected.sent([2])
    assert not connected.flush(0)


def test_more_than_can_be_kept_is_refused_as_a_whole(publisher: LinkedPublisher) -> None:
    publisher.sent(range(MAX_BACKLOG - 1))
    with pytest.raises(BrokerUnavailable, match="49999 messages wait"):
        publisher.sent([1, 2])
    assert publisher.backlog == MAX_BACKLOG - 1
    publisher.sent([1])
    assert publisher.backlog == MAX_BACKLOG


def test_no_more_is_in_flight_than_the_window(connected: LinkedPublisher) -> None:
    connected.sent(range(2500))
    assert len(connected.channel.published) == 1000
    connected.answer(1000, multiple=True)
    assert len(connected.channel.published) == 2000
    connected.answer(2000, multiple=True)
    assert connected.channel.published == [str(number) for number in range(2500)]


def test_a_channel_that_closes_takes_nothing_more(connected: LinkedPublisher) -> None:
    connected.channel.is_open = False
    connected.sent([1])
    assert (connected.channel.published, connected.backlog) == ([], 1)


def test_what_is_larger_than_the_broker_takes_holds_up_no_other(
    connected: LinkedPublisher, caplog: pytest.LogCaptureFixture
) -> None:
    connected.sent([1])
    connected.send([replace(message(2), body=b"x" * 101), message(3)])
    connected.close_channel("PRECONDITION_FAILED - message size 101 is larger than configured max size 100")
    connected.open()
    assert connected.channel.published == ["1", "3"]
    connected.answer(2, multiple=True)
    assert connected.flush(0)
    assert "message 2 is not published: it has 101 bytes, RabbitMQ takes 100" in caplog.text


def test_a_channel_that_is_closed_for_another_reason_repeats_everything(connected: LinkedPublisher) -> None:
    connected.send([replace(message(1), body=b"x" * 101)])
    connected.close_channel("PRECONDITION_FAILED - unknown delivery tag 1")
    connected.open()
    assert connected.channel.published == ["1"]
