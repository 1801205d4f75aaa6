"""A worker as its row describes it, whatever has written that."""

from __future__ import annotations

from typing import Any

import pytest

from agent.placement.candidate import DEFAULT_SLOTS, Candidate, candidate_of

ROW: dict[str, Any] = {
    "id": 7,
    "name": "one",
    "status": "active",
    "cordoned": False,
    "cordon_reason": None,
    "heartbeat_age": 1.5,
    "in_hand": 3,
}


def test_it_has_what_its_row_has_and_other_columns_are_left_out() -> None:
    row = {**ROW, "capabilities": {"max_concurrent_executions": 4}, "alive": True}
    found = candidate_of(row)
    assert found == Candidate(7, "one", "active", False, None, 1.5, {"max_concurrent_executions": 4}, 3)
    assert found.free == 1


@pytest.mark.parametrize("capabilities", [None, [], ["labels"], "labels", 5, 1.5, True])
def test_one_that_says_nothing_that_can_be_read_is_capable_of_nothing_special(capabilities: object) -> None:
    found = candidate_of({**ROW, "capabilities": capabilities})
    assert (found.capabilities, found.slots, found.labels, found.guarded) == ({}, DEFAULT_SLOTS, {}, False)
