"""Every exchange, queue, routing key, prefetch and consumer tag of a deployment, declared here only.

RabbitMQ refuses to declare again with other arguments (406), so these values are part of the contract with
the executor and the API; none of them is a setting.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from agent.mq.broker import Delivery, Queue, Subscription

EVENTS = "attune.events"
EXECUTIONS = "attune.executions"
NOTIFICATIONS = "attune.notifications"
DEAD_LETTERS = "attune.dlx"

EXECUTION_REQUESTED = "execution.requested"
EXECUTION_STATUS_CHANGED = "execution.status.changed"
EXECUTION_COMPLETED = "execution.completed"
EVENT_CREATED = "event.created"
RULE_CREATED = "rule.created"
RULE_ENABLED = "rule.enabled"
RULE_DISABLED = "rule.disabled"
PACK_REGISTERED = "pack.registered"
PACK_DELETED = "pack.deleted"

DISPATCH_TTL_MS = 300_000
_DEAD_LETTERED: dict[str, str | int] = {"x-dead-letter-exchange": DEAD_LETTERS}


@dataclass(frozen=True)
class Exchange:
    """A durable exchange that is never deleted automatically and takes no arguments."""

    name: str
    kind: Literal["topic", "fanout", "direct"]


EXCHANGES = (
    Exchange(EVENTS, "topic"),
    Exchange(EXECUTIONS, "topic"),
    Exchange(NOTIFICATIONS, "fanout"),
    Exchange(DEAD_LETTERS, "direct"),
)

# "#" is a literal key on a direct exchange; the binding is declared because every other service declares it.
DEAD_LETTER_QUEUE = Queue("attune.dlx.queue", ((DEAD_LETTERS, "#"),), {})

EXECUTOR_EVENTS = Queue("attune.executor.events.queue", ((EVENTS, EVENT_CREATED),), _DEAD_LETTERED)
ENFORCEMENTS = Queue("attune.enforcements.queue", ((EXECUTIONS, "enforcement.#"),), _DEAD_LETTERED)
REQUESTS = Queue("attune.execution.requests.queue", ((EXECUTIONS, EXECUTION_REQUESTED),), _DEAD_LETTERED)
STATUS = Queue("attune.execution.status.queue", ((EXECUTIONS, EXECUTION_STATUS_CHANGED),), _DEAD_LETTERED)
COMPLETED = Queue("attune.execution.completed.queue", ((EXECUTIONS, EXECUTION_COMPLETED),), _DEAD_LETTERED)
INQUIRIES = Queue("attune.inquiry.responses.queue", ((EXECUTIONS, "inquiry.responded"),), _DEAD_LETTERED)
EXECUTOR_QUEUES = (EXECUTOR_EVENTS, ENFORCEMENTS, REQUESTS, STATUS, COMPLETED, INQUIRIES)


def dispatch_key(worker_id: int) -> str:
    """Routing key of the executions that one worker is to run."""
    return f"execution.dispatch.worker.{worker_id}"


def cancel_key(worker_id: int) -> str:
    """Routing key of the requests to cancel that one worker gets."""
    return f"execution.cancel.worker.{worker_id}"


def executions_queue(worker_id: int) -> Queue:
    """The queue of dispatches; one that waits five minutes is dead-lettered."""
    return Queue(
        f"worker.{worker_id}.executions",
        ((EXECUTIONS, dispatch_key(worker_id)),),
        _DEAD_LETTERED | {"x-message-ttl": DISPATCH_TTL_MS},
    )


def packs_queue(worker_id: int) -> Queue:
    """The queue of pack events; each worker has its own, so that every one hears them."""
    return Queue(f"worker.{worker_id}.packs", ((EVENTS, PACK_REGISTERED), (EVENTS, PACK_DELETED)), _DEAD_LETTERED)


def cancel_queue(worker_id: int) -> Queue:
    """The queue of requests to cancel."""
    return Queue(f"worker.{worker_id}.cancel", ((EXECUTIONS, cancel_key(worker_id)),), _DEAD_LETTERED)


def sensors_queue(worker_id: int) -> Queue:
    """The queue of changed rules and packs of one sensor service; each has its own, so that every one hears them.

    They only wake it: what nobody took for a minute says nothing any longer.
    """
    keys = (RULE_CREATED, RULE_ENABLED, RULE_DISABLED, PACK_REGISTERED, PACK_DELETED)
    return Queue(f"worker.{worker_id}.sensors", tuple((EVENTS, key) for key in keys), {"x-message-ttl": 60_000})


def dead_letter_queue(worker_id: int) -> Queue:
    """The shared dead-letter queue, bound for this worker's dispatches as well.

    A dead-lettered message keeps its routing key, so that without the second binding an expired dispatch
    vanishes instead of reaching the executor, which fails the execution then.
    """
    return Queue(
        DEAD_LETTER_QUEUE.name,
        (*DEAD_LETTER_QUEUE.bindings, (DEAD_LETTERS, dispatch_key(worker_id))),
        DEAD_LETTER_QUEUE.arguments,
    )


def worker_queues(worker_id: int) -> tuple[Queue, ...]:
    """Everything that a worker declares before it consumes: its three queues and the dead-letter binding."""
    return (
        executions_queue(worker_id),
        packs_queue(worker_id),
        cancel_queue(worker_id),
        dead_letter_queue(worker_id),
    )


def dead_letter_binding(worker_id: int) -> Queue:
    """The binding of this worker's dispatches to the dead-letter queue, which goes when the worker leaves for good."""
    return Queue(DEAD_LETTER_QUEUE.name, ((DEAD_LETTERS, dispatch_key(worker_id)),), DEAD_LETTER_QUEUE.arguments)


def owned_queues(worker_id: int) -> tuple[str, ...]:
    """Names of the queues that belong to one worker alone and go when it leaves for good."""
    return tuple(f"worker.{worker_id}.{part}" for part in ("executions", "packs", "cancel"))


def executions_subscription(worker_id: int, slots: int, on_delivery: Callable[[Delivery], None]) -> Subscription:
    """Subscribe to dispatches, two more than ``slots``: a free slot never waits for the network."""
    return Subscription(
        queue=executions_queue(worker_id),
        tag=f"worker-{worker_id}",
        prefetch=min(slots + 2, 65535),
        on_delivery=on_delivery,
        also_declare=(dead_letter_queue(worker_id),),
    )


def packs_subscription(worker_id: int, on_delivery: Callable[[Delivery], None]) -> Subscription:
    """Subscribe to pack events."""
    return Subscription(packs_queue(worker_id), f"worker-{worker_id}-packs", 5, on_delivery)


def cancel_subscription(worker_id: int, on_delivery: Callable[[Delivery], None]) -> Subscription:
    """Subscribe to requests to cancel."""
    return Subscription(cancel_queue(worker_id), f"worker-{worker_id}-cancel", 10, on_delivery)


def sensors_subscription(worker_id: int, on_delivery: Callable[[Delivery], None]) -> Subscription:
    """Subscribe to changed rules and packs."""
    return Subscription(sensors_queue(worker_id), f"worker-{worker_id}-sensors", 10, on_delivery)
