"""Which broker the settings choose."""

from __future__ import annotations

import subprocess
import sys

import pytest

from agent.errors import ConfigurationError
from agent.mq.connect import open_broker
from agent.settings import DatabaseSettings, MessageQueueSettings, Settings


def settings(url: str | None) -> Settings:
    return Settings(
        database=DatabaseSettings(url="postgresql://u:p@attune-db/x"), message_queue=MessageQueueSettings(url=url)
    )


@pytest.mark.parametrize("url", ["amqp://h/", "amqps://h/"])
def test_an_amqp_url_means_rabbitmq(url: str) -> None:
    assert type(open_broker(settings(url), name="w")).__name__ == "RabbitBroker"


@pytest.mark.parametrize("url", ["database", "postgresql://u:p@other/y", "postgres://u:p@other/y"])
def test_the_word_database_or_its_url_means_postgresql(url: str) -> None:
    broker = open_broker(settings(url), name="w")
    assert type(broker).__name__ == "DatabaseBroker"
    expected = "attune-db" if url == "database" else "other"
    assert broker._database.address.label.startswith(expected)  # type: ignore[attr-defined]


@pytest.mark.parametrize("url", [None, "", "  ", "kafka://u:s3cret@h", "rabbit", "Database"])
def test_anything_else_is_refused_with_both_choices_named(url: str | None) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_broker(settings(url), name="w")
    assert caught.value.exit_code == 2
    assert "amqp://" in str(caught.value.hint) and "database" in str(caught.value.hint)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(("url", "absent"), [("amqp://h/", "psycopg"), ("database", "pika")])
def test_only_the_driver_that_is_needed_is_imported(url: str, absent: str) -> None:
    program = f"""
import sys
from agent.mq.connect import open_broker
from agent.settings import MessageQueueSettings, Settings
assert "pika" not in sys.modules and "psycopg" not in sys.modules
open_broker(Settings(message_queue=MessageQueueSettings(url={url!r})), name="w")
assert {absent!r} not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
