"""What every test shares: real services on demand, and an environment without the caller's settings."""

from __future__ import annotations

import os
import platform
import signal

import psycopg
import pytest
from hypothesis import settings

pytest_plugins = [
    "tests.services.schedule",
    "tests.services.postgres",
    "tests.services.rabbitmq",
    "tests.services.brokers",
    "tests.services.frozen",
    "tests.services.room",
    "tests.services.small_disk",
    "tests.services.docker",
    "tests.services.deployment",
    "tests.services.renv",
]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the caller's ATTUNE settings away, except those that tell these tests which services to use."""
    for name in list(os.environ):
        if name.startswith("ATTUNE") and not name.startswith("ATTUNE_TEST_"):
            monkeypatch.delenv(name)


def pytest_configure() -> None:
    """Let commands that tests interrupt be interruptible: a shell starts what runs in its background deaf to SIGINT."""
    settings.register_profile("full", deadline=None)  # no example is wrong for being slow on a machine in use
    settings.register_profile("quick", deadline=None, max_examples=15)
    settings.load_profile(os.environ.get("ATTUNE_TEST_EXAMPLES", "full"))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    """Say what the tests run on."""
    libpq = psycopg.pq.version()
    return f"python: {platform.python_version()}, psycopg {psycopg.__version__}, libpq {libpq // 10000}.{libpq % 10000}"
