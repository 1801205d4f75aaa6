"""A published message is on the wire what pika would have made of it."""

from __future__ import annotations

import pika
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pika import frame
from pika.spec import Basic

from agent.mq.broker import Outgoing
from agent.mq.rabbit.publish_frames import frames

names = st.text(max_size=60)


def by_pika(channel: int, message: Outgoing, most: int) -> bytes:
    """The frames that pika's own parts make."""
    properties = pika.BasicProperties(
        content_type="application/json",
        delivery_mode=2,
        message_id=message.message_id,
        correlation_id=message.correlation_id,
        timestamp=message.timestamp,
    )
    pieces = [message.body[start : start + most] for start in range(0, len(message.body), most)]
    made = [
        frame.Method(channel, Basic.Publish(exchange=message.exchange, routing_key=message.routing_key)),
        frame.Header(channel, len(message.body), properties),
        *(frame.Body(channel, piece) for piece in pieces),
    ]
    return b"".join(one.marshal() for one in made)


@given(
    st.integers(1, 65535),
    st.builds(Outgoing, names, names, st.binary(max_size=100), names, names, st.integers(0, 2**62)),
    st.integers(1, 120),
)
@example(1, Outgoing("", "", b"", "", "", 0), 1)
def test_the_frames_are_those_of_pika(channel: int, message: Outgoing, most: int) -> None:
    assert frames(channel, message, most) == by_pika(channel, message, most)


def test_a_name_that_is_too_long_for_the_broker_is_refused() -> None:
    assert frames(1, Outgoing("e" * 255, "k" * 255, b"", "m", "c", 1), 9)
    with pytest.raises(ValueError, match="is too long for RabbitMQ: 256 bytes"):
        frames(1, Outgoing("e", "é" * 128, b"", "m", "c", 1), 9)
