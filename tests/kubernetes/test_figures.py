"""What a pod of ours costs beside one that does nothing: time to start, and processor time of its probes.

Smallest of several: what else this machine does only adds to a time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.kubernetes.cluster import wait
from tests.kubernetes.pools import TAG, Pool
from tests.kubernetes.site import IMAGES, Site
from tests.services.availability import everything_is_installed

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.alone]

#: As many as it takes, and at most so many.
ROUNDS = 8
ALLOWED = 3.0
WINDOW = 15.0
Tell = Callable[[str, object], None]


def bare(name: str, **container: Any) -> dict[str, Any]:
    """A Deployment of one pod that sleeps, as restricted as ours."""
    labels = {"app": name}
    restricted: dict[str, Any] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    sleeper = {
        "name": "sleep",
        "image": f"{IMAGES['shell']}:{TAG}",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "100000"],
        "securityContext": restricted,
        **container,
    }
    spec = {
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [sleeper],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
    }


def seconds_of_a_bare_pod(site: Site, name: str) -> float:
    begun = time.monotonic()
    site.cluster.apply(site.namespace, bare(name))
    site.kubectl("rollout", "status", f"deployment/{name}", "--timeout=120s")
    took = time.monotonic() - begun
    site.kubectl("delete", "deployment", name, "--cascade=foreground")
    return took


def seconds_of_a_worker(site: Site, name: str) -> float:
    begun = time.monotonic()
    site.install(Pool(name, IMAGES["shell"]))
    wait(lambda: [one for one in site.active_workers() if f"-{name}-" in one], "an active worker", 120)
    took = time.monotonic() - begun
    site.kubectl("delete", site.target(name), "--cascade=foreground")
    return took


def test_a_worker_is_registered_soon_after_a_pod_that_sleeps_would_be_ready(
    sites: list[Site], record_property: Tell
) -> None:
    """From `kubectl apply`, with all images on the node.

    Told and not judged in CI, where an agent for the other architecture is compiled beside this.
    """
    site = sites[0]
    rounds = 2 if everything_is_installed() else ROUNDS
    bares: list[float] = []
    workers: list[float] = []
    while len(bares) < 2 or (min(workers) - min(bares) > ALLOWED and len(bares) < rounds):
        bares.append(seconds_of_a_bare_pod(site, f"bare{len(bares)}"))
        workers.append(seconds_of_a_worker(site, f"start{len(workers)}"))
    record_property("a pod that sleeps is ready after", f"{min(bares):.1f} s")
    record_property("a worker is active after", f"{min(workers):.1f} s")
    assert everything_is_installed() or min(workers) - min(bares) <= ALLOWED, (bares, workers)


def test_the_probe_costs_less_than_a_hundredth_of_a_processor(sites: list[Site], record_property: Tell) -> None:
    """Once a second, so ten milliseconds of processor time are the hundredth; ``times`` counts those of children."""
    site = sites[1]
    site.install(Pool("probed", IMAGES["shell"]))
    (pod,) = site.wait_ready("probed", 1)
    probes = 200
    loop = f"i=0; while [ $i -lt {probes} ]; do /opt/attune/bin/attune-agent health || exit 1; i=$((i+1)); done; times"
    said = site.kubectl("exec", pod["metadata"]["name"], "-c", "worker", "--", "sh", "-c", loop)
    children = re.findall(r"(\d+)m([\d.]+)s", said.splitlines()[-1])
    milliseconds = sum(int(minutes) * 60 + float(rest) for minutes, rest in children) / probes * 1000
    record_property("processor time of a probe by itself", f"{milliseconds:.2f} ms")
    assert milliseconds < 10


def test_what_the_runtime_adds_to_a_probe_is_shown(sites: list[Site], record_property: Tell) -> None:
    """The kubelet and containerd start a process in the container for each: what that takes is not ours to change."""
    site = sites[1]
    spent = site.cluster.runtime_seconds
    if spent is None:
        pytest.skip("only of a cluster of this machine's own the processes are known")

    def rate() -> float:
        begun = spent()
        time.sleep(WINDOW)  # measured over a time
        return (spent() - begun) / WINDOW

    quiet = min(rate(), rate())
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1}
    site.cluster.apply(site.namespace, bare("probing", readinessProbe=probe))
    site.kubectl("rollout", "status", "deployment/probing", "--timeout=120s")
    busy = min(rate(), rate())
    site.kubectl("delete", "deployment", "probing", "--cascade=foreground")
    record_property("processor time that kubelet and containerd add to a probe", f"{(busy - quiet) * 1000:.0f} ms")
