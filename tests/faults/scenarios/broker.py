"""RabbitMQ is away, silent, full, or closes what it does not like."""

from __future__ import annotations

import socket
import time
from functools import partial

from agent.mq import topology
from tests.faults.jobs import LONG, QUICK
from tests.faults.scenarios.work import for_a_while, jobs_flow
from tests.faults.site import Site
from tests.services.proxy import until
from tests.services.rabbitmq import RabbitNode, manage

#: How the payload of AMQP's basic.ack begins: class 60, method 80.
_ACKNOWLEDGEMENT = b"\0\x3c\0\x50"


def broker_restarted(site: Site) -> None:
    """Stopped and started while jobs flow."""
    site.start_agent()
    site.submit(100)
    site.servers.rabbit.restart()
    site.healed()


def broker_away(site: Site) -> None:
    """Nothing listens for some seconds."""
    jobs_flow(site)
    for_a_while(site.broker.refuse, site.broker.accept, 3)
    site.healed()


def broker_half_open(site: Site) -> None:
    """What is sent is swallowed in both directions, and no connection ends."""
    jobs_flow(site)
    for_a_while(site.broker.swallow, site.broker.accept, 8)
    site.healed()


def broker_resetting(site: Site) -> None:
    """A balancer takes each connection and resets it."""
    jobs_flow(site)
    for_a_while(site.broker.reset, site.broker.accept, 3)
    site.healed()


def broker_closes_everything(site: Site) -> None:
    """The broker closes all connections, again and again."""
    site.start_agent()
    site.submit(100)
    for _ in range(3):
        site.broker.cut()
        time.sleep(0.5)
    site.healed()


def queue_deleted(site: Site) -> None:
    """An operator deletes the worker's queue with all that waits in it."""
    agent = site.start_agent()
    site.submit(100)
    name = topology.owned_queues(agent.worker_id)[0]
    manage(f"http://127.0.0.1:{site.servers.rabbit.http_port}", "DELETE", f"/api/queues/{site.direct.vhost}/{name}")
    time.sleep(1)
    site.healed()


def dispatches_lost(site: Site) -> None:
    """Rows are scheduled, and no dispatch ever comes."""
    site.start_agent()
    site.schedule(site.count(12))
    site.submit(20)
    site.healed()


def memory_alarm(site: Site) -> None:
    """The broker delivers, but takes no messages."""
    jobs_flow(site, 60)
    site.servers.rabbit.ctl("set_vm_memory_high_watermark", "0.000001")
    time.sleep(2)
    site.servers.rabbit.ctl("set_vm_memory_high_watermark", "0.4")
    site.healed()


def acknowledged_twice(site: Site) -> None:
    """The broker gets an acknowledgement twice, and closes the channel: 406, unknown delivery tag."""
    agent = site.start_agent()
    for number in range(3):
        site.broker.inject(_ACKNOWLEDGEMENT, "send twice")
        site.submit(40)
        site.broker.wait_for_faults()
        until(lambda number=number: agent.log().count("406 PRECONDITION_FAILED") > number, "the closed channel")
    site.healed()


def consumer_timeout(site: Site) -> None:
    """Dispatches wait behind long jobs for longer than the broker lets a consumer keep them; it closes the channel."""
    rabbit = site.servers.rabbit
    for name, value in (("consumer_timeout", "2000"), ("channel_tick_interval", "500")):
        rabbit.ctl("eval", f"application:set_env(rabbit, {name}, {value}).")
    try:
        agent = site.start_agent()
        ids = site.schedule(8, LONG)  # one for each slot, whatever the scale: what comes behind has to wait
        site.dispatch(ids)
        site.wait_running(ids, len(ids))
        site.submit(60, QUICK)
        site.submit(4, LONG)
        until(lambda: "406 PRECONDITION_FAILED" in agent.log(), "the closed channel")
        site.release()
        site.healed()
    finally:
        for name, value in (("consumer_timeout", "1800000"), ("channel_tick_interval", "60000")):
            rabbit.ctl("eval", f"application:set_env(rabbit, {name}, {value}).")


def second_broker_node(site: Site) -> None:
    """The node that the agent is connected to loses power; a balancer leads to the other one of the cluster."""
    first = site.servers.rabbit
    second = RabbitNode(site.directory / "second", beside=first)
    try:
        second.start()
        second.join(first)
        everywhere = '{"ha-mode":"all","ha-sync-mode":"automatic"}'
        first.ctl("set_policy", "-p", site.direct.vhost, "everywhere", ".*", everywhere)
        site.broker.lead_to(partial(socket.create_connection, ("127.0.0.1", second.port)))
        jobs_flow(site)
        site.broker.lead_to(partial(socket.create_connection, ("127.0.0.1", first.port)))
        second.kill()
        site.healed()
        site.wait_ended()
    finally:
        second.kill()
        first.ctl("forget_cluster_node", second.name)
