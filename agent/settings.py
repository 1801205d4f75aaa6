"""The typed tree of settings: every key that the agent reads, its type, default and meaning.

Reading files and the environment is ``configuration``'s work; nothing here does I/O.
A field's ``doc`` is what ``attune settings`` and the reference page print.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


def setting(
    default: Any, doc: str, *, above: float | None = None, least: float | None = None, secret: bool = False
) -> Any:
    """Declare one key with its default, one sentence of documentation, and what values it takes.

    A number must be greater than ``above`` or not less than ``least``; a ``secret`` is never printed.
    """
    metadata = {"doc": doc, "above": above, "least": least, "secret": secret}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class DatabaseSettings:
    """Section ``database``."""

    url: str = setting("postgresql://postgres:postgres@localhost:5432/attune", "PostgreSQL to use")
    schema: str = setting("attune", "schema that holds Attune's tables")
    max_connections: int = setting(50, "upper bound of the connection pool", above=0)
    min_connections: int = setting(5, "connections that the pool may keep; the agent opens only what it needs", least=0)
    connect_timeout: float = setting(30.0, "seconds to wait for a connection", above=0)
    idle_timeout: float = setting(600.0, "seconds after which an unused connection is closed", above=0)


@dataclass(frozen=True)
class MessageQueueSettings:
    """Section ``message_queue``."""

    url: str | None = setting(None, "amqp://, amqps://, postgresql:// or the word database")
    ca_file: Path | None = setting(None, "PEM file of the authorities that may sign the broker's certificate")
    connect_timeout: float = setting(10.0, "seconds for one attempt to connect", above=0)


@dataclass(frozen=True)
class ServerSettings:
    """Section ``server``: `attune server`; host and port also give actions the URL of the API."""

    host: str = setting("0.0.0.0", "host of the API")  # noqa: S104 - a container is reached from outside
    port: int = setting(8080, "port of the API", above=0)
    public_url: str | None = setting(None, "URL of the API as actions and people see it; default http://host:port")
    cors_origins: tuple[str, ...] = setting((), "origins of pages that may call the API; default some of localhost")
    trusted_proxies: tuple[str, ...] = setting((), "addresses whose X-Forwarded-For is believed")
    threads: int = setting(8, "requests that are worked on at the same time; each may need a connection", above=0)
    max_body_bytes: int = setting(2 * 1024 * 1024, "largest JSON body of a request", above=0)
    statement_timeout: float = setting(
        30.0, "seconds after which the database gives up a statement of a request (503); 0 = never", least=0
    )
    shutdown_timeout: float = setting(10.0, "seconds from SIGTERM to exit", least=0)
    streams: int = setting(2000, "live views (server-sent events) that may be open at the same time", above=0)
    streams_per_identity: int = setting(100, "of these, those of one account", above=0)


@dataclass(frozen=True)
class DispatcherSettings:
    """Section ``dispatcher``: how `attune server` gives work to workers."""

    wait_for_worker: float = setting(
        60.0, "seconds that an execution waits for a worker that fits; 0 = fail at once, as Attune's executor", least=0
    )
    recall_after: float = setting(
        1.0, "seconds after which unstarted work is taken back when another worker has a free slot", above=0
    )
    monitor_interval: float = setting(5.0, "seconds between looks for silent workers and stuck executions", above=0)
    beside_executor: bool = setting(False, "place executions even where Attune's executor consumes requests as well")


@dataclass(frozen=True)
class ExecutorSettings:
    """Section ``executor``: shared with Attune's executor."""

    scheduled_timeout: float = setting(
        300.0, "seconds after which work that a worker without a guarded claim has not begun is failed", above=0
    )


@dataclass(frozen=True)
class PackUploadSettings:
    """Section ``pack_upload``: what an uploaded archive may hold."""

    max_upload_size_bytes: int = setting(100 * 1024 * 1024, "largest archive", above=0)
    max_extracted_size_bytes: int = setting(100 * 1024 * 1024, "largest sum of its files", above=0)
    max_file_count: int = setting(10_000, "most entries", above=0)
    max_per_entry_size_bytes: int = setting(50 * 1024 * 1024, "largest file", above=0)


@dataclass(frozen=True)
class AgentSettings:
    """Section ``agent``: how agents get their program and their tokens from the server."""

    bootstrap_token: str | None = setting(
        None, "proves that a worker may have a token and the agent's file; without it none is given", secret=True
    )
    binary_dir: Path = setting(
        Path("/opt/attune/agent"), "where the server finds the one-file agents that it hands out: attune-agent-x86_64"
    )


@dataclass(frozen=True)
class SecuritySettings:
    """Section ``security``."""

    jwt_secret: str | None = setting(
        None, "signs the API tokens of executions; without it none is handed out", secret=True
    )
    encryption_key: str | None = setting(
        None, "encrypts secrets and decrypts stored ones; at least 32 characters", secret=True
    )
    encryption_keys: tuple[str, ...] = setting(
        (), "earlier keys, which only decrypt what was stored with them", secret=True
    )

    @property
    def decryption_keys(self) -> tuple[str, ...]:
        """All keys that may have encrypted a stored value, the present one first."""
        return tuple(key for key in (self.encryption_key, *self.encryption_keys) if key)

    jwt_access_expiration: int = setting(3600, "seconds that a log-in lasts before it is renewed", above=0)
    jwt_refresh_expiration: int = setting(604800, "seconds that a log-in may be renewed", above=0)
    allow_self_registration: bool = setting(False, "whether anybody may make an account; it has no permissions")


@dataclass(frozen=True)
class ArtifactSettings:
    """Section ``artifacts``."""

    transport: Literal["auto", "volume", "api"] = setting(
        "auto",
        "how logs reach the server; auto: a volume where the server's sentinel lies, or no API is named",
    )
    max_upload_size: int = setting(100 * 1024 * 1024, "bytes of the largest file that the server takes", above=0)
    spool_max_bytes: int = setting(
        1024 * 1024 * 1024,
        "bytes of logs that a worker keeps for a server that is away; more is cut",
        above=0,
    )
    sensor_log_max_bytes: int = setting(10 * 1024 * 1024, "bytes of one piece of a sensor's log", above=1023)
    sensor_log_max_files: int = setting(
        4, "pieces that are kept of a sensor's log where the sensor says nothing", above=0
    )
    upload_wait: float = setting(
        2.0, "seconds that the end of an execution waits until the server has its logs; then they follow", least=0
    )


@dataclass(frozen=True)
class PackSettings:
    """Section ``packs``."""

    transport: Literal["auto", "volume", "api"] = setting(
        "auto", "how pack files reach this worker; auto: a volume where the server's sentinel lies, or no API is named"
    )
    fetch_timeout: float = setting(
        60.0, "seconds that an execution waits for a server that is away when it needs a pack's files", least=0
    )


@dataclass(frozen=True)
class PythonSettings:
    """Section ``runtimes.python``."""

    installer: Literal["auto", "uv", "pip"] = setting(
        "auto", "what builds virtual environments: uv where the machine has it (auto), uv, or venv and pip"
    )


@dataclass(frozen=True)
class RuntimesSettings:
    """Section ``runtimes``."""

    search_paths: tuple[str, ...] = setting(
        (), "directories besides PATH with interpreters: of programs, of versions, or of a version manager"
    )
    python: PythonSettings = field(default_factory=PythonSettings)


@dataclass(frozen=True)
class EnvironmentSettings:
    """Section ``environments``."""

    max_bytes: int = setting(
        0,
        "size that all environments may have; what was used longest ago and by nobody goes first; 0 = no limit",
        least=0,
    )
    keep_unused: float = setting(7 * 86400.0, "seconds that a replaced environment is kept after its last use", least=0)


@dataclass(frozen=True)
class NetworkSettings:
    """Section ``network``: how installers reach package indexes; what the image itself says about it is kept."""

    proxy: str | None = setting(None, "URL of the HTTP proxy of all installers", secret=True)
    no_proxy: str | None = setting(None, "hosts that are reached without it, separated by commas")
    ca_file: Path | None = setting(None, "PEM file of the authorities that sign indexes, mirrors and the proxy")
    python_index: str | None = setting(None, "Python index for pip and uv", secret=True)
    npm_registry: str | None = setting(None, "registry for npm", secret=True)
    gem_mirror: str | None = setting(None, "gem server for bundler and gem", secret=True)
    go_proxy: str | None = setting(None, "module proxy for go (GOPROXY)", secret=True)
    cpan_mirror: str | None = setting(None, "CPAN mirror for cpanm", secret=True)
    cran_mirror: str | None = setting(None, "CRAN mirror for R and renv", secret=True)
    maven_mirror: str | None = setting(None, "repository that stands in for all of Maven's", secret=True)


@dataclass(frozen=True)
class LimitSettings:
    """Section ``worker.limits``: what one job may use."""

    processes: int | None = setting(
        None, "processes and threads of a job; kept where it can have a control group, else `doctor` warns", above=0
    )
    memory: int | None = setting(
        None,
        "resident bytes of a job's processes together; kept by a control group of version 2, else looked at ten times"
        " a second",
        above=0,
    )
    open_files: int | None = setting(None, "files that each process of a job may have open", above=0)
    cpu_seconds: int | None = setting(None, "processor time that each process of a job may use", above=0)


@dataclass(frozen=True)
class WorkerSettings:
    """Section ``worker``."""

    name: str | None = setting(None, "stable name; default ATTUNE_WORKER_NAME, else worker-<hostname>")
    worker_type: Literal["local", "remote", "container"] | None = setting(
        None, "default ATTUNE_WORKER_TYPE, else local"
    )
    runtime_id: int | None = setting(None, "runtime that a new worker row points to")
    host: str | None = setting(None, "host shown in the worker row; default the hostname")
    port: int | None = setting(None, "port shown in the worker row", above=0)
    capabilities: Mapping[str, Any] = setting({}, "extra capabilities; its list `runtimes` is a filter")
    labels: Mapping[str, str] = setting({}, "labels that worker selectors match")
    labels_file: Path | None = setting(
        None, 'file with further labels, a line `key="value"` each, as Kubernetes\' downward API writes it'
    )
    origin: Mapping[str, str] = setting({}, "where this worker runs (pod, namespace, node …), shown in its row's meta")
    taints: tuple[Mapping[str, Any], ...] = setting((), "taints that executions must tolerate")
    max_concurrent_tasks: int | Literal["auto"] = setting(
        10, "executions that run at the same time; auto: as many as this container's limits carry", above=0
    )
    heartbeat_interval: float = setting(30.0, "seconds between heartbeats", above=0)
    task_timeout: float = setting(300.0, "seconds an execution may take when nothing else says; 0 = no limit", least=0)
    max_stdout_bytes: int = setting(10 * 1024 * 1024, "limit of captured stdout", least=0)
    max_stderr_bytes: int = setting(10 * 1024 * 1024, "limit of captured stderr", least=0)
    limits: LimitSettings = field(default_factory=LimitSettings)
    max_parameter_bytes: int = setting(
        16 * 1024 * 1024, "largest parameter document that is handed to an action", above=0
    )
    execution_log_retention_policy: Literal["versions", "days", "hours", "minutes"] = setting(
        "days", "unit of the log retention of actions that set none"
    )
    execution_log_retention_limit: int = setting(7, "amount of that unit", above=0)
    shutdown_timeout: float = setting(
        30.0, "seconds from SIGTERM to exit; default ATTUNE_STOP_GRACE_PERIOD less five, else 30", least=0
    )
    allow_env_vars: tuple[str, ...] = setting(
        (), "variables that load code (PATH, LD_*, PYTHONPATH …) and that executions may set all the same"
    )
    scratch_dir: Path | None = setting(None, "first choice for temporary files")
    ephemeral: bool = setting(False, "this worker's name never returns: hand unstarted work back on exit")
    metrics_address: str | None = setting(
        None, "host:port on which GET /metrics is answered, for Prometheus; default: nobody listens"
    )
    verify_every: float = setting(
        0.0, "seconds between two checks of all runtime versions by a running worker; 0 = never", least=0
    )
    reverify_after: float = setting(600.0, "seconds for which the check of a runtime version is trusted", least=0)
    probe_timeout: float = setting(5.0, "seconds an interpreter may take to report its version", above=0)
    verify_timeout: float = setting(10.0, "seconds one verification command may take", above=0)
    environment_timeout: float = setting(900.0, "seconds to create an environment", above=0)
    install_timeout: float = setting(900.0, "seconds to install a pack's dependencies", above=0)


@dataclass(frozen=True)
class SensorSettings:
    """Section ``sensor``: a sensor service; what isn't said here it takes from section ``worker``."""

    worker_name: str | None = setting(None, "stable name of a sensor service; default sensor-<hostname>")
    host: str | None = setting(None, "host shown in its row; default the hostname")
    capabilities: Mapping[str, Any] = setting({}, "extra capabilities; its list `runtimes` is a filter")
    labels: Mapping[str, str] = setting({}, "labels that sensors' selectors match")
    taints: tuple[Mapping[str, Any], ...] = setting((), "taints that sensors must tolerate")
    only: tuple[str, ...] = setting(
        (), "sensors that may run here, as references with * for any text; for a service beside one of another make"
    )
    max_concurrent_sensors: int = setting(10, "sensors that run at the same time", above=0)
    heartbeat_interval: float = setting(30.0, "seconds between heartbeats", above=0)
    reconcile_interval: float = setting(
        10.0, "seconds between two looks at which sensors are wanted, besides those that a change brings about", above=0
    )
    access_lifetime: int = setting(86400, "seconds that the API token of a sensor lives", above=0)
    mq_url: str | None = setting(
        None, "broker URL that sensors get as ATTUNE_MQ_URL; none get one unless it is set", secret=True
    )
    shutdown_timeout: float = setting(
        30.0, "seconds from SIGTERM to exit; default ATTUNE_STOP_GRACE_PERIOD less five, else 30", least=0
    )


@dataclass(frozen=True)
class LogSettings:
    """Section ``log``."""

    level: Literal["trace", "debug", "info", "warn", "error"] = setting("info", "least severe level written")
    format: Literal["json", "pretty"] = setting("json", "one JSON object a line, or text for people")


@dataclass(frozen=True)
class RetentionSettings:
    """Section ``retention``: what `attune server` and `attune prune` delete; artifacts have policies of their own."""

    execution_days: float = setting(30.0, "days that executions are kept after their end; 0 = for ever", least=0)
    event_days: float = setting(30.0, "days that events, enforcements and the log of webhooks are kept", least=0)
    history_days: float = setting(30.0, "days that the changes of rows are kept; 0 = for ever", least=0)
    audit_days: float = setting(90.0, "days that audit events are kept; 0 = for ever", least=0)
    worker_days: float = setting(1.0, "days that the row of an ephemeral worker that is gone is kept", least=0)
    max_bytes: int = setting(0, "bytes of all versions of artifacts together; the oldest go first; 0 = any", least=0)
    orphan_grace: float = setting(86400.0, "seconds that a file which no row names is left alone", above=0)
    interval: float = setting(300.0, "seconds between two rounds", above=0)
    batch: int = setting(500, "rows that are deleted in one transaction", above=0)


@dataclass(frozen=True)
class Settings:
    """All settings of one process."""

    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    message_queue: MessageQueueSettings = field(default_factory=MessageQueueSettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    dispatcher: DispatcherSettings = field(default_factory=DispatcherSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    executor: ExecutorSettings = field(default_factory=ExecutorSettings)
    pack_upload: PackUploadSettings = field(default_factory=PackUploadSettings)
    agent: AgentSettings = field(default_factory=AgentSettings)
    security: SecuritySettings = field(default_factory=SecuritySettings)
    artifacts: ArtifactSettings = field(default_factory=ArtifactSettings)
    packs: PackSettings = field(default_factory=PackSettings)
    runtimes: RuntimesSettings = field(default_factory=RuntimesSettings)
    environments: EnvironmentSettings = field(default_factory=EnvironmentSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    sensor: SensorSettings = field(default_factory=SensorSettings)
    log: LogSettings = field(default_factory=LogSettings)
    environment: str = setting("development", "names the overlay config.<environment>.yaml")
    packs_base_dir: Path = setting(Path("/opt/attune/packs"), "where packs lie")
    runtime_envs_dir: Path = setting(Path("/opt/attune/runtime_envs"), "where isolated environments are built")
    artifacts_dir: Path = setting(Path("/opt/attune/artifacts"), "where logs and results are written")
