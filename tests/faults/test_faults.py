"""The short form of the table of faults: nothing is lost, nothing happens twice, nothing is stuck or left behind."""

from __future__ import annotations

import pytest

from tests.faults.__main__ import run
from tests.faults.scenarios import SHORT_FORM
from tests.faults.servers import Servers
from tests.faults.site import Program

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.xdist_group("faults")]


@pytest.mark.parametrize("name", SHORT_FORM)
def test_every_promise_is_kept(servers: Servers, name: str) -> None:
    found, _ = run(servers, name, program=Program(), scale=0.15)
    assert found.clean, found
