"""The typed tree of settings: every key that the agent reads, its type, default and meaning.

Reading files and the environment is ``configuration``'s work; nothing here does I/O.
A field's ``doc`` is what ``attune settings`` and the reference page print.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


def setting(default: Any, doc: str) -> Any:
    """Declare one key with its default and one sentence of documentation."""
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata={"doc": doc})
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True)
class DatabaseSettings:
    """Section ``database``."""

    url: str = setting("postgresql://postgres:postgres@localhost:5432/attune", "PostgreSQL to use")
    schema: str = setting("attune", "schema that holds Attune's tables")
    max_connections: int = setting(50, "upper bound of the connection pool")
    min_connections: int = setting(5, "connections that the pool may keep; the agent opens only what it needs")
    connect_timeout: float = setting(30.0, "seconds to wait for a connection")
    idle_timeout: float = setting(600.0, "seconds after which an unused connection is closed")


@dataclass(frozen=True)
class MessageQueueSettings:
    """Section ``message_queue``."""

    url: str | None = setting(None, "amqp://, amqps://, postgresql:// or the word database")
    ca_file: Path | None = setting(None, "PEM file of the authorities that may sign the broker's certificate")
    connect_timeout: float = setting(10.0, "seconds for one attempt to connect")


@dataclass(frozen=True)
class ServerSettings:
    """Section ``server``: where Attune's API listens; used only to derive its URL for actions."""

    host: str = setting("0.0.0.0", "host of the API")  # noqa: S104 - a default of the deployment, not a bind
    port: int = setting(8080, "port of the API")


@dataclass(frozen=True)
class SecuritySettings:
    """Section ``security``."""

    jwt_secret: str | None = setting(None, "signs the API tokens of executions; without it none is handed out")
    encryption_key: str | None = setting(None, "decrypts stored secrets; at least 32 characters")


@dataclass(frozen=True)
class ArtifactSettings:
    """Section ``artifacts``."""

    transport: Literal["auto", "volume", "api"] = setting("auto", "how log files reach the API")


@dataclass(frozen=True)
class PackSettings:
    """Section ``packs``."""

    transport: Literal["auto", "volume", "api"] = setting("auto", "how pack files reach this worker")


@dataclass(frozen=True)
class WorkerSettings:
    """Section ``worker``."""

    name: str | None = setting(None, "stable name; default ATTUNE_WORKER_NAME, else worker-<hostname>")
    worker_type: Literal["local", "remote", "container"] | None = setting(
        None, "default ATTUNE_WORKER_TYPE, else local"
    )
    runtime_id: int | None = setting(None, "runtime that a new worker row points to")
    host: str | None = setting(None, "host shown in the worker row; default the hostname")
    port: int | None = setting(None, "port shown in the worker row")
    capabilities: Mapping[str, Any] = setting({}, "extra capabilities; its list `runtimes` is a filter")
    labels: Mapping[str, str] = setting({}, "labels that worker selectors match")
    taints: tuple[Mapping[str, Any], ...] = setting((), "taints that executions must tolerate")
    max_concurrent_tasks: int = setting(10, "executions that run at the same time")
    heartbeat_interval: float = setting(30.0, "seconds between heartbeats")
    task_timeout: float = setting(300.0, "seconds an execution may take when nothing else says; 0 = no limit")
    max_stdout_bytes: int = setting(10 * 1024 * 1024, "limit of captured stdout")
    max_stderr_bytes: int = setting(10 * 1024 * 1024, "limit of captured stderr")
    max_parameter_bytes: int = setting(16 * 1024 * 1024, "largest parameter document that is handed to an action")
    execution_log_retention_policy: Literal["versions", "days", "hours", "minutes"] = setting(
        "days", "unit of the log retention of actions that set none"
    )
    execution_log_retention_limit: int = setting(7, "amount of that unit")
    shutdown_timeout: float = setting(30.0, "seconds from SIGTERM to exit")
    scratch_dir: Path | None = setting(None, "first choice for temporary files")
    ephemeral: bool = setting(False, "this worker's name never returns: hand unstarted work back on exit")
    reverify_after: float = setting(600.0, "seconds that a verdict about a runtime version is trusted")
    probe_timeout: float = setting(5.0, "seconds an interpreter may take to tell its version")
    verify_timeout: float = setting(10.0, "seconds one verification command may take")
    environment_timeout: float = setting(900.0, "seconds to create an environment")
    install_timeout: float = setting(900.0, "seconds to install a pack's dependencies")


@dataclass(frozen=True)
class SensorSettings:
    """Section ``sensor``: only what the shared detection needs."""

    capabilities: Mapping[str, Any] = setting({}, "extra capabilities; its list `runtimes` is a filter")


@dataclass(frozen=True)
class LogSettings:
    """Section ``log``."""

    level: Literal["trace", "debug", "info", "warn", "error"] = setting("info", "least severe level written")
    format: Literal["json", "pretty"] = setting("json", "one JSON object a line, or text for people")


@dataclass(frozen=True)
class Settings:
    """All settings of one process."""

    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    message_queue: MessageQueueSettings = field(default_factory=MessageQueueSettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    security: SecuritySettings = field(default_factory=SecuritySettings)
    artifacts: ArtifactSettings = field(default_factory=ArtifactSettings)
    packs: PackSettings = field(default_factory=PackSettings)
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    sensor: SensorSettings = field(default_factory=SensorSettings)
    log: LogSettings = field(default_factory=LogSettings)
    environment: str = setting("development", "names the overlay config.<environment>.yaml")
    packs_base_dir: Path = setting(Path("/opt/attune/packs"), "where packs lie")
    runtime_envs_dir: Path = setting(Path("/opt/attune/runtime_envs"), "where isolated environments are built")
    artifacts_dir: Path = setting(Path("/opt/attune/artifacts"), "where logs and results are written")
