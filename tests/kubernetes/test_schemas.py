"""The API server takes every object that is rendered, also those of KEDA and the Prometheus operator, by their schemas.

Nothing of them is made: the API checks a request that says it is a trial.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kubernetes import programs
from tests.kubernetes.cluster import Cluster, wait
from tests.kubernetes.pools import CHART, MANIFESTS

NAMESPACE = "attune-schemas"
EVERYTHING: dict[str, Any] = {
    "workers": [
        {
            "name": "python",
            "image": "python:3.12-slim",
            "runtimes": ["python"],
            "tolerations": [{"key": "x", "operator": "Exists"}],
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}}
            ],
            "autoscaling": {"enabled": True},
        },
        {
            "name": "watched",
            "image": "x",
            "autoscaling": {"enabled": True, "prometheus": {"serverAddress": "http://p:9090", "query": "sum(x)"}},
        },
    ],
    "migrations": {"enabled": True},
    "corePack": {"enabled": True},
    "packs": {"existingClaim": "packs"},
    "networkPolicy": {
        "egress": {"restricted": True, "hosts": [{"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}]},
    },
    "server": {
        "enabled": True,
        "ingress": {"enabled": True, "host": "attune.example"},
        "serviceMonitor": {"enabled": True},
    },
}


@pytest.fixture(scope="module")
def defined(cluster: Cluster) -> Cluster:
    """The cluster, which knows the resources of others."""
    cluster.make_namespace(NAMESPACE)
    for file in programs.definitions():
        cluster.kubectl("apply", "--server-side", "-f", str(file))
        name = yaml.safe_load(file.read_text())["metadata"]["name"]
        said = ("get", "crd", name, "-o", "jsonpath={.status.conditions[?(@.type=='Established')].status}")
        wait(lambda said=said: cluster.kubectl(*said) == "True", name)  # type: ignore[misc]
    return cluster


def take(cluster: Cluster, text: str) -> None:
    cluster.kubectl("-n", NAMESPACE, "apply", "--dry-run=server", "--validate=strict", "-f", "-", text=text)


def test_everything_that_the_chart_renders(defined: Cluster, tmp_path: Path) -> None:
    values = tmp_path / "values.json"
    values.write_text(json.dumps(EVERYTHING))
    text = defined.helm("template", "x", str(CHART), "-f", str(values))
    kinds = {one["kind"] for one in yaml.safe_load_all(text) if one}
    assert {"ScaledObject", "TriggerAuthentication", "ServiceMonitor", "Ingress", "Job", "NetworkPolicy"} <= kinds
    take(defined, text)


@pytest.mark.parametrize("name", ["python", "node", "ruby", "gpu"])
def test_every_overlay(defined: Cluster, name: str) -> None:
    take(defined, defined.kubectl("kustomize", str(MANIFESTS / "overlays" / name)))


def test_a_key_that_nobody_knows_would_be_noticed(defined: Cluster) -> None:
    text = defined.kubectl("kustomize", str(MANIFESTS / "overlays" / "python"))
    wrong = text.replace("terminationGracePeriodSeconds:", "terminationGraceSeconds:")
    assert wrong != text
    done = defined.try_kubectl("-n", NAMESPACE, "apply", "--dry-run=server", "--validate=strict", "-f", "-", text=wrong)
    assert "terminationGraceSeconds" in done.stderr
