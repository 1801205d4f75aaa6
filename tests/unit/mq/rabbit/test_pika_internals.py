"""What is used of pika without its promise is still there, in a version that was tried."""

from __future__ import annotations

import inspect

import pika
from pika.adapters.base_connection import BaseConnection
from pika.adapters.select_connection import IOLoop
from pika.adapters.utils import io_services_utils

from agent.mq.rabbit.pika_internals import TRIED, FrameConnection, set_poller


def test_this_version_of_pika_was_tried() -> None:
    assert pika.__version__ in TRIED, (
        f"pika {pika.__version__}: run the tests of tests/integration/test_rabbitmq.py and make bench, then add it"
    )


def test_a_loop_asks_for_its_poller_where_ours_is_set() -> None:
    loop = IOLoop()
    assert callable(loop._poller._create_poller)
    made: list[object] = []
    set_poller(loop, lambda: made.append(object()) or made[0])
    assert loop._poller._create_poller() is made[0]
    loop.close()


def test_frames_pass_through_the_method_that_is_replaced() -> None:
    assert "_adapter_emit_data" in inspect.getsource(pika.connection.Connection)
    assert list(inspect.signature(BaseConnection._adapter_emit_data).parameters) == ["self", "data"]
    assert FrameConnection._adapter_emit_data is not BaseConnection._adapter_emit_data


def test_a_transport_has_a_socket_and_tells_what_waits() -> None:
    source = inspect.getsource(io_services_utils)
    assert "self._sock" in source and "def get_write_buffer_size" in source


def test_a_connection_knows_how_much_of_a_body_a_frame_may_hold() -> None:
    assert "self._body_max_length" in inspect.getsource(pika.connection.Connection)
