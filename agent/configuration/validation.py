"""What no single value shows: contradictions, unusable names, and transports that are not there yet (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from agent.errors import ConfigurationError
from agent.liveness import DEAD_AFTER
from agent.settings import Settings

_SCHEMA = re.compile(r"[A-Za-z0-9_]{1,63}")
#: Two beats fit into the time after which a worker counts as dead.
_LONGEST_HEARTBEAT = DEAD_AFTER / 2
_DATABASE_SCHEMES = ("postgresql", "postgres")
_BROKER_SCHEMES = ("amqp", "amqps", *_DATABASE_SCHEMES)


def validate(settings: Settings, sources: Mapping[str, str]) -> None:
    """Check the settings as a whole.

    Raises:
        ConfigurationError: naming the key, where it was set and what to do; never a secret's value.
    """
    _check_urls(settings, sources)
    if not _SCHEMA.fullmatch(settings.database.schema):
        _refuse(
            sources,
            "database.schema",
            f"must be 1 to 63 letters, digits or underscores, not {settings.database.schema!r}",
        )
    key = settings.security.encryption_key
    if key is not None and len(key.encode()) < 32:
        _refuse(sources, "security.encryption_key", f"must have at least 32 characters; it has {len(key)}")
    for key in settings.security.encryption_keys:
        if len(key.encode()) < 32:
            _refuse(sources, "security.encryption_keys", f"each must have at least 32 characters; one has {len(key)}")
    for port in ("server.port", "worker.port"):
        number = settings.server.port if port == "server.port" else settings.worker.port
        if number is not None and number > 65535:
            _refuse(sources, port, f"must be at most 65535, not {number}")
    for section, interval in (
        ("worker", settings.worker.heartbeat_interval),
        ("sensor", settings.sensor.heartbeat_interval),
    ):
        if interval > _LONGEST_HEARTBEAT:
            _refuse(
                sources,
                f"{section}.heartbeat_interval",
                f"must be at most {_LONGEST_HEARTBEAT:g} s, not {interval:g}",
                hint=f"the executor considers a worker dead after {DEAD_AFTER:g} seconds without a heartbeat",
            )


def _check_urls(settings: Settings, sources: Mapping[str, str]) -> None:
    scheme = _scheme(settings.database.url)
    if not settings.database.url.strip():
        _refuse(sources, "database.url", "must not be empty", hint="set it, e.g. postgresql://user:password@host/db")
    if scheme is not None and scheme not in _DATABASE_SCHEMES:
        _refuse(sources, "database.url", f"must be a postgresql:// URL, not {scheme}://")
    broker = settings.message_queue.url
    if broker and broker != "database" and _scheme(broker) not in _BROKER_SCHEMES:
        _refuse(
            sources,
            "message_queue.url",
            "must be an amqp://, amqps:// or postgresql:// URL, or the word database",
        )


def _scheme(url: str) -> str | None:
    head, separator, _ = url.partition("://")
    return head.lower() if separator else None


def _refuse(sources: Mapping[str, str], key: str, complaint: str, *, hint: str | None = None) -> None:
    raise ConfigurationError(f"{sources.get(key, 'default')}: {key} {complaint}", hint=hint)
