"""What a test does when a service that it needs isn't there: skip on a laptop, fail in continuous integration."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def unavailable(what: str, remedy: str) -> NoReturn:
    """Skip, or fail where ``CI=true`` promises that everything is installed."""
    message = f"{what} is not available: {remedy}"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
