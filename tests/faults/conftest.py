"""The servers of the faults, shared by all tests of a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.servers import Servers, running_servers


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Both servers."""
    with running_servers() as both:
        yield both
