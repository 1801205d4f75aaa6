"""The harness itself: it must notice each promise that is broken."""

from __future__ import annotations

import pytest

from tests.faults.__main__ import run
from tests.faults.broken import BREAKS, broken_copy
from tests.faults.servers import Servers

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.xdist_group("faults")]


@pytest.mark.parametrize("what", BREAKS)
def test_a_broken_copy_of_the_product_is_noticed(servers: Servers, what: str) -> None:
    with broken_copy(BREAKS[what]) as program:
        found, _ = run(servers, BREAKS[what].scenario, program=program, scale=0.1, patience=15)
    assert not found.clean
