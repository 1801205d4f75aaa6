"""Choose the broker that the settings name."""

from __future__ import annotations

import dataclasses

from agent.errors import ConfigurationError
from agent.mq.broker import Broker
from agent.settings import Settings

_BOTH = (
    "set message_queue.url (ATTUNE__MESSAGE_QUEUE__URL) to amqp://user:password@host:5672/vhost for RabbitMQ, or to the"
    " word database to use the PostgreSQL database of database.url as the broker"
)


def open_broker(settings: Settings, *, name: str) -> Broker:
    """Return the broker of the settings; nothing is connected yet. ``name`` is shown to operators of the server.

    Raises:
        ConfigurationError: no broker is named, or its URL is malformed.
    """
    queue = settings.message_queue
    url = (queue.url or "").strip()
    scheme = url.partition("://")[0]
    if scheme in ("amqp", "amqps"):
        from agent.mq.rabbit.address import rabbit_address
        from agent.mq.rabbit.broker import RabbitBroker

        address = rabbit_address(url, ca_file=queue.ca_file, connect_timeout=queue.connect_timeout)
        return RabbitBroker(address, name=name)
    if url == "database" or scheme in ("postgresql", "postgres"):
        from agent.mq.database.broker import DatabaseBroker

        where = settings.database if url == "database" else dataclasses.replace(settings.database, url=url)
        return DatabaseBroker(where, name=name)
    if url:
        raise ConfigurationError("message_queue.url names an unknown broker", hint=_BOTH)
    raise ConfigurationError("no message broker is configured", hint=_BOTH)
