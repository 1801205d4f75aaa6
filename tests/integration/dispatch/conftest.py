"""A dispatcher in this process, on a deployment whose broker is the database."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator

import pytest

from agent.dispatch.outbox_sender import OutboxThread
from agent.dispatch.service import Dispatcher
from agent.mq.connect import open_broker
from agent.settings import DatabaseSettings, DispatcherSettings, MessageQueueSettings, Settings
from agent.threads import ThreadGroup
from tests.services.deployment import Deployment, running_deployment

RunningDispatcher = Callable[..., Dispatcher]


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """A deployment of one test's own without an agent; ``indirect`` parameters choose the broker."""
    with running_deployment(request, getattr(request, "param", "database")) as laid_out:
        yield laid_out


@pytest.fixture
def dispatcher(place: Deployment) -> Iterator[RunningDispatcher]:
    """Start dispatchers on the deployment; each takes settings of the section ``dispatcher``."""
    running: list[tuple[Dispatcher, OutboxThread, ThreadGroup, Callable[[], None]]] = []

    def start(**changes: float) -> Dispatcher:
        settings = Settings(
            database=DatabaseSettings(url=place.database_url),
            message_queue=MessageQueueSettings(url=place.wire.url),
            dispatcher=dataclasses.replace(DispatcherSettings(monitor_interval=0.2), **changes),
        )
        broker = open_broker(settings, name="attune-server test")
        broker.declare(())
        publisher, threads = broker.publisher(), ThreadGroup()
        threads.start("publisher", publisher.run)
        made = Dispatcher(settings, broker, publisher, threads)
        made.start()
        outbox = OutboxThread(settings, publisher, threads)
        if not made.outbox.in_database:
            outbox.start()
        running.append((made, outbox, threads, publisher.close))
        return made

    yield start
    for made, outbox, threads, close in running:
        made.stop()
        outbox.stop()
        close()
        assert threads.join(10.0) == []
        made.close()
        outbox.close()


def request_execution(
    place: Deployment, action_ref: str, config: dict[str, object] | None = None, **columns: object
) -> int:
    """Insert a row as the API does; return its id."""
    action = place.one("SELECT id FROM action WHERE ref = %s", [action_ref])["id"]
    values = {"action": action, "action_ref": action_ref, "config": config or {}, "status": "requested"}
    return place.insert("execution", values | columns)


def add_worker(place: Deployment, name: str, slots: int = 2, **columns: object) -> int:
    """Register a worker that nobody runs, with fresh heartbeat."""
    capabilities = {"runtimes": ["shell"], "max_concurrent_executions": slots, "guarded_claim": True}
    values = {
        "name": name,
        "worker_type": "local",
        "worker_role": "action",
        "status": "active",
        "capabilities": capabilities | dict(columns.pop("capabilities", None) or {}),  # type: ignore[call-overload]
    }
    worker = place.insert("worker", values | columns)
    place.database.execute("UPDATE worker SET last_heartbeat = clock_timestamp() WHERE id = %s", [worker])
    return worker


def until(condition: Callable[[], bool], *, timeout: float = 90.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"did not hold within {timeout:g} s"
        time.sleep(0.01)


def status(place: Deployment, execution_id: int) -> str:
    """Return the status of an execution."""
    return place.execution(execution_id).status
