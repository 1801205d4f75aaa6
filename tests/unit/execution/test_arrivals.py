"""When a dispatch came in and which trace it belongs to is known until its execution begins."""

import pytest

from agent.execution.arrivals import Arrivals

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_trace_is_passed_on_once() -> None:
    arrivals = Arrivals()
    arrivals.add(7, TRACE)
    arrivals.add(7, None)
    arrival = arrivals.take(7)
    assert arrival is not None
    assert arrival.traceparent == TRACE
    assert arrivals.take(7) is None


@pytest.mark.parametrize("hostile", [None, 7, {}, "", TRACE + "\n", TRACE.upper(), "x" * 10_000, "00-" + "٣" * 52])
def test_what_is_no_trace_is_none(hostile: object) -> None:
    arrivals = Arrivals()
    arrivals.add(7, hostile)
    arrival = arrivals.take(7)
    assert arrival is not None
    assert arrival.traceparent is None


def test_no_more_are_kept_than_can_be_in_hand() -> None:
    arrivals = Arrivals()
    for number in range(10_001):
        arrivals.add(number, None)
    assert arrivals.take(0) is None
    assert arrivals.take(10_000) is not None
