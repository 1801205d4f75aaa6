"""Pauses between attempts grow, end at a limit, and differ among many who failed together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.backoff import Backoff

SECONDS = st.floats(0.001, 1000)


def test_each_pause_is_the_one_before_times_the_factor_up_to_the_longest() -> None:
    assert [Backoff(1.0, 10.0).pause(attempt) for attempt in range(6)] == [1, 2, 4, 8, 10, 10]
    assert [Backoff(4.0, 10.0, factor=1.5).pause(attempt) for attempt in range(4)] == [4, 6, 9, 10]


@given(SECONDS, SECONDS, st.floats(1.0, 10.0), st.integers(0, 10**9))
def test_no_pause_is_longer_than_the_longest_however_many_attempts_failed(
    first: float, longest: float, factor: float, attempt: int
) -> None:
    assert 0 < Backoff(first, longest, factor).pause(attempt) <= longest


def test_chance_spreads_the_pauses_within_its_bounds() -> None:
    backoff = Backoff(1.0, 8.0, spread=(0.5, 1.0))
    pauses = {backoff.pause(9) for _ in range(50)}
    assert len(pauses) > 1
    assert all(4.0 <= pause <= 8.0 for pause in pauses)
