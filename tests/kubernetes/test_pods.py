"""Pools of four images on a real cluster, installed both ways: they work, and nothing that happens to pods loses work.

The tests go on with what the one before left: three python pods and one of each other pool.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.kubernetes.cluster import is_ready, restarts, wait
from tests.kubernetes.pools import CHART, Helm, Pool
from tests.kubernetes.site import IMAGES, Site
from tests.services.rabbitmq import RabbitNode

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

#: A dozen interpreters start at the same time on a machine that has other things to do.
PATIENT = {"ATTUNE__WORKER__PROBE_TIMEOUT": "60"}
POOLS = tuple(Pool(name, image, 3 if name == "python" else 1, PATIENT) for name, image in IMAGES.items())


def settle(site: Site) -> None:
    """Bring a site to what its tests expect, whatever the test before did."""
    site.executor.pool = None
    site.install(*POOLS)
    for pool in POOLS:
        site.kubectl("scale", site.target(pool.name), f"--replicas={pool.replicas}")


@pytest.fixture
def settled(sites: list[Site]) -> list[Site]:
    """Both sites with all pools ready."""
    for site in sites:
        settle(site)
    for site in sites:
        for pool in POOLS:
            site.wait_ready(pool.name, pool.replicas)
        wait(lambda site=site: len(site.active_workers()) == 6, "six active workers")  # type: ignore[misc]
    return sites


def assert_each_completed_once(site: Site, ids: list[int]) -> None:
    ended = site.wait_ended(ids)
    assert {row.status for row in ended} == {"completed"}
    wait(lambda: set(site.completions(ids).values()) == {1}, "one completion of each execution", 20)


def assert_nothing_left(site: Site, pods: int) -> None:
    wait(lambda: len(site.active_workers()) == pods, f"{pods} active workers")
    wait(lambda: not site.queues_left(), "no queue of a worker that is gone", 20)


def test_pods_of_four_images_become_ready_and_run_an_action_each(settled: list[Site]) -> None:
    asked = {(site, pool.name): site.request(f"pods.{pool.name}")[0] for site in settled for pool in POOLS}
    for (site, pool), execution in asked.items():
        (row,) = site.wait_ended([execution])
        assert row.status == "completed", row.result
        assert row.result["stdout"].startswith(pool)


def test_a_worker_says_which_pod_it_is(settled: list[Site]) -> None:
    for site in settled:
        (pod,) = site.pods("node")
        row = site.worker(pod["metadata"]["name"])
        assert row["meta"]["origin"] == {
            "pod": pod["metadata"]["name"],
            "namespace": site.namespace,
            "node": pod["spec"]["nodeName"],
        }
        assert pod["metadata"]["labels"].items() <= row["capabilities"]["labels"].items()
        assert row["capabilities"]["ephemeral"] is True


def test_a_rollout_and_a_scale_down_in_the_middle_of_work_lose_nothing(settled: list[Site]) -> None:
    asked = {}
    for site in settled:
        site.executor.pool = "python"
        asked[site] = site.request("pods.brief", 200)
    for site in settled:
        wait(lambda site=site: "completed" in site.statuses(asked[site]), "the first results")  # type: ignore[misc]
        site.kubectl("rollout", "restart", site.target("python"))
    for site in settled:
        site.kubectl("rollout", "status", site.target("python"), "--timeout=240s")
        site.kubectl("scale", site.target("python"), "--replicas=1")
    for site in settled:
        assert_each_completed_once(site, asked[site])
        site.wait_ready("python", 1)
        assert_nothing_left(site, pods=4)


def test_what_a_force_deleted_pod_ran_ends_as_abandoned_within_a_minute(settled: list[Site]) -> None:
    running = {}
    for site in settled:
        site.executor.pool = "ruby"
        running[site] = site.request("pods.long")[0]
        site.deployment.wait(running[site], "running", timeout=60)
    killed = time.monotonic()
    for site in settled:
        (pod,) = site.pods("ruby")
        # The object is gone at once, and the kubelet gives the agent one second.
        site.kubectl("delete", "pod", pod["metadata"]["name"], "--force", "--grace-period=0")
    for site in settled:
        row = site.deployment.wait(running[site], timeout=max(1.0, 60 - (time.monotonic() - killed)))
        assert (row.status, row.result["cause"]) == ("abandoned", "worker_lost")
        wait(lambda site=site: site.completions([running[site]])[running[site]] == 1, "its completion", 20)  # type: ignore[misc]
        site.wait_ready("ruby", 1)
        assert_nothing_left(site, pods=6)


def test_while_the_broker_is_away_pods_are_unready_and_none_is_restarted(
    settled: list[Site], rabbit_node: RabbitNode
) -> None:
    running, before = {}, {}
    for site in settled:
        site.executor.pool = "python"
        running[site] = site.request("pods.long", 3)
    for site in settled:
        wait(lambda site=site: set(site.statuses(running[site])) == {"running"}, "three running jobs")  # type: ignore[misc]
        before[site] = {pod["metadata"]["name"]: restarts(pod) for pool in POOLS for pod in site.pods(pool.name)}
    rabbit_node.stop_app()
    away = time.monotonic()
    try:
        for site in settled:
            wait(lambda site=site: not any(map(is_ready, _all_pods(site))), "unready pods", 45)  # type: ignore[misc]
        time.sleep(max(0.0, 60 - (time.monotonic() - away)))  # as long as promised
    finally:
        rabbit_node.start_app()
    for site in settled:
        for pool in POOLS:
            site.wait_ready(pool.name, pool.replicas)
        assert {pod["metadata"]["name"]: restarts(pod) for pod in _all_pods(site)} == before[site]
        assert_each_completed_once(site, running[site])
        assert_each_completed_once(site, site.request("pods.brief", 10))


def test_a_drain_of_the_only_node_waits_for_the_budget(settled: list[Site]) -> None:
    cluster = settled[0].cluster
    if not cluster.own:
        pytest.skip("a node of a cluster that others use is not drained")
    (pod, *_) = settled[0].pods("python")
    node = pod["spec"]["nodeName"]
    try:
        for site in settled:
            chosen = "--pod-selector=attune.io/pool=python"
            done = cluster.try_kubectl("drain", node, chosen, "--delete-emptydir-data", "--timeout=12s")
            assert done.returncode != 0
            assert "disruption budget" in done.stderr
            assert sum(map(is_ready, site.pods("python"))) == 2
    finally:
        cluster.kubectl("uncordon", node)
    for site in settled:
        site.wait_ready("python", 3)


def test_limits_of_the_container_size_the_slots(settled: list[Site]) -> None:
    site = settled[1]
    small = Pool("small", IMAGES["shell"], env=PATIENT)
    values = site.installer.values(site.namespace, [*POOLS, small])  # type: ignore[attr-defined]
    document = json.loads(values.read_text())
    document["workers"][-1]["resources"] = {"limits": {"cpu": "500m", "memory": "256Mi"}, "requests": {"cpu": "10m"}}
    values.write_text(json.dumps(document))
    site.cluster.helm("upgrade", "-n", site.namespace, Helm.release, str(CHART), "-f", str(values))
    try:
        (pod,) = site.wait_ready("small", 1)
        capabilities = site.worker(pod["metadata"]["name"])["capabilities"]
        assert capabilities["limits"] == {"cpus": 0.5, "memory_bytes": 256 << 20}
        assert capabilities["max_concurrent_executions"] == 2
    finally:
        site.cluster.helm("rollback", "-n", site.namespace, Helm.release)


def test_any_user_will_do(settled: list[Site]) -> None:
    """As on OpenShift, which gives each namespace a range of user ids, and group 0."""
    site = settled[1]
    patch: dict[str, Any] = {"runAsUser": 1000680000, "runAsGroup": 0, "fsGroup": 1000680000}
    document = {"spec": {"template": {"spec": {"securityContext": patch}}}}
    site.kubectl("patch", site.target("shell"), "-p", json.dumps(document))
    site.kubectl("rollout", "status", site.target("shell"), "--timeout=120s")
    (pod,) = site.wait_ready("shell", 1)
    said = site.kubectl("exec", pod["metadata"]["name"], "-c", "worker", "--", "id", "-u")
    assert said.strip() == "1000680000"
    site.executor.pool = "shell"
    (row,) = site.wait_ended(site.request("pods.shell"))
    assert row.status == "completed", row.result


def _all_pods(site: Site) -> list[dict[str, Any]]:
    return [pod for pool in POOLS for pod in site.pods(pool.name)]
