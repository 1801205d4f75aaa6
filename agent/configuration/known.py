"""Keys that Attune's other services read in sections that we share, and what a misspelt key was meant to be (pure)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

UNUSED_KEYS = frozenset(
    (
        "service_name",
        "database.log_statements",
        "message_queue.exchange",
        "message_queue.enable_dlq",
        "message_queue.message_ttl",
        "message_queue.rabbitmq",
        "server.request_timeout",
        "server.enable_cors",
        "server.max_body_size",
        "security.enable_auth",
        "security.login_page",
        "executor.timeout_check_interval",
        "executor.enable_timeout_monitor",
        "pack_upload.allow_symlinks",
        "security.oidc",
        "security.ldap",
        "artifacts.flush_interval_ms",
        "log.console",
        "log.file",
        "worker.stream_logs",
        "worker.python",
        "worker.nodejs",
        "worker.shell",
        "worker.work_dir",
        "worker.cleanup_interval",
        "worker.service_name",
        "sensor.poll_interval",
        "sensor.sensor_timeout",
    )
)
"""Read by the control plane or by nobody: valid in a shared file, so not worth a warning."""


def is_unused(key: str) -> bool:
    """Whether the key, or a map that it lies in, belongs to another service."""
    parts = key.split(".")
    return any(".".join(parts[:size]) in UNUSED_KEYS for size in range(1, len(parts) + 1))


def nearest(name: str, known: Iterable[str], *, likeness: float = 0.6) -> str | None:
    """Return the known name that was probably meant; ``likeness`` is from 0 (anything) to 1 (equal)."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=likeness)
    return found[0] if found else None
