"""The names and arguments that the rest of a deployment relies on."""

from agent.mq import topology


def test_a_workers_queues_have_the_arguments_that_the_executor_expects() -> None:
    executions, packs, cancel, dead_letters = topology.worker_queues(7)
    assert executions.name == "worker.7.executions"
    assert executions.arguments == {"x-dead-letter-exchange": "attune.dlx", "x-message-ttl": 300_000}
    assert executions.bindings == (("attune.executions", "execution.dispatch.worker.7"),)
    assert packs.name == "worker.7.packs"
    assert packs.arguments == {"x-dead-letter-exchange": "attune.dlx"}
    assert packs.bindings == (("attune.events", "pack.registered"), ("attune.events", "pack.deleted"))
    assert cancel.name == "worker.7.cancel"
    assert cancel.arguments == {"x-dead-letter-exchange": "attune.dlx"}
    assert cancel.bindings == (("attune.executions", "execution.cancel.worker.7"),)
    assert dead_letters.name == "attune.dlx.queue"
    assert dead_letters.arguments == {}
    assert dead_letters.bindings == (("attune.dlx", "#"), ("attune.dlx", "execution.dispatch.worker.7"))


def test_exchanges_have_the_types_of_the_deployment() -> None:
    assert {exchange.name: exchange.kind for exchange in topology.EXCHANGES} == {
        "attune.events": "topic",
        "attune.executions": "topic",
        "attune.notifications": "fanout",
        "attune.dlx": "direct",
    }


def test_prefetch_is_two_more_than_the_slots_and_fits_16_bits() -> None:
    assert topology.executions_subscription(1, 10, print).prefetch == 12
    assert topology.executions_subscription(1, 100_000, print).prefetch == 65535
    assert topology.packs_subscription(1, print).prefetch == 5
    assert topology.cancel_subscription(1, print).prefetch == 10


def test_consumer_tags_name_the_worker() -> None:
    assert topology.executions_subscription(3, 1, print).tag == "worker-3"
    assert topology.packs_subscription(3, print).tag == "worker-3-packs"
    assert topology.cancel_subscription(3, print).tag == "worker-3-cancel"


def test_the_queues_a_worker_owns_are_those_it_consumes() -> None:
    assert topology.owned_queues(3) == tuple(queue.name for queue in topology.worker_queues(3)[:3])
