"""What a test does when a service that it needs isn't there: skip on a laptop, fail in continuous integration."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def unavailable(what: str, remedy: str) -> NoReturn:
    """Skip, or fail where ``CI=true`` promises that everything is installed."""
    message = f"{what} is not available: {remedy}"
    if everything_is_installed():
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def everything_is_installed() -> bool:
    """Whether this is continuous integration, where all tests run."""
    return os.environ.get("CI", "").lower() == "true"
