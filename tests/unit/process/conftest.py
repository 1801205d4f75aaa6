"""What this process has to be so that what children leave behind comes to it."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import pytest

from agent.process.prctl import become_subreaper

_PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture
def _subreaper() -> Iterator[None]:
    assert become_subreaper()
    yield
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 0)  # else the orphans of other tests were ours as well
