"""Pools of workers, installed as the manifests and as the chart would be: what an operator writes, and no more."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.kubernetes.cluster import Cluster
from tests.services.frozen import ROOT

MANIFESTS = ROOT / "deploy" / "kubernetes"
CHART = ROOT / "deploy" / "helm" / "attune-agent"
AGENT, PACKS, OPERATOR = "localhost/attune-agent", "localhost/packs", "localhost/attune"
TAG = "test"
#: Requests small enough for all pods of these tests on one machine.
_RESOURCES = {"requests": {"cpu": "10m", "memory": "64Mi"}}
#: The kubelet starts a process for each question: of a dozen pods on one small machine it asks less often.
_PROBES = {"startup": {"periodSeconds": 3}, "readiness": {"periodSeconds": 10}, "liveness": {"periodSeconds": 30}}


@dataclass(frozen=True)
class Pool:
    """One pool; ``image`` is a name without its tag. ``env`` are plain variables."""

    name: str
    image: str
    replicas: int = 1
    env: Mapping[str, str] = field(default_factory=dict)


class Installer(Protocol):
    """One way to install pools."""

    kind: str

    def install(self, cluster: Cluster, namespace: str, pools: Sequence[Pool]) -> None:
        """Install them, or change those that are there."""

    def deployment(self, pool: str) -> str:
        """The name of a pool's Deployment."""


class Kustomize:
    """Overlays of an operator's own, on top of ours."""

    kind = "kustomize"

    def __init__(self, directory: Path) -> None:
        """``directory`` is where the operator's files lie."""
        self._directory = directory

    def install(self, cluster: Cluster, namespace: str, pools: Sequence[Pool]) -> None:
        """Apply an overlay for each pool."""
        for pool in pools:
            cluster.kubectl("-n", namespace, "apply", "--validate=strict", "-k", str(self.overlay(pool, namespace)))

    def overlay(self, pool: Pool, namespace: str) -> Path:
        """Write the overlay of one pool and return its directory."""
        place = self._directory / namespace / pool.name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        known = (MANIFESTS / "overlays" / pool.name).is_dir()
        base = MANIFESTS / "overlays" / pool.name if known else MANIFESTS / "base"
        stock = {"python": "python", "node": "node", "ruby": "ruby", "gpu": "nvidia/cuda"}
        document: dict[str, Any] = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": namespace,
            "resources": [os.path.relpath(base, place)],
            "components": [os.path.relpath(MANIFESTS / "components" / "packs-image", place)],
            "images": [
                {"name": stock[pool.name] if known else "worker-image", "newName": pool.image, "newTag": TAG},
                {"name": "attune-agent", "newName": AGENT, "newTag": TAG},
                {"name": "packs-image", "newName": PACKS, "newTag": TAG},
            ],
            "replicas": [{"name": self.deployment(pool.name) if known else "attune-worker", "count": pool.replicas}],
            "patches": [{"target": {"kind": "Deployment"}, "patch": json.dumps(_patch(pool))}],
        }
        if not known:
            pair = {"pairs": {"attune.io/pool": pool.name}, "includeSelectors": True}
            document |= {"nameSuffix": f"-{pool.name}", "labels": [pair]}
        (place / "kustomization.yaml").write_text(json.dumps(document))
        return place

    def deployment(self, pool: str) -> str:
        """The name of a pool's Deployment."""
        return f"attune-worker-{pool}"


class Helm:
    """The chart with a file of values."""

    kind = "helm"
    release = "attune-agent"

    def __init__(self, directory: Path) -> None:
        """``directory`` is where files of values lie."""
        self._directory = directory

    def install(self, cluster: Cluster, namespace: str, pools: Sequence[Pool]) -> None:
        """Install the release, or upgrade it."""
        values = self.values(namespace, pools)
        cluster.helm("upgrade", "--install", "-n", namespace, self.release, str(CHART), "-f", str(values))

    def values(self, namespace: str, pools: Sequence[Pool], **further: Any) -> Path:
        """Write the file of values and return it; ``further`` are other top-level keys."""
        document = {
            "images": {
                "agent": {"repository": AGENT, "tag": TAG},
                "operator": {"repository": OPERATOR, "tag": TAG},
            },
            "packs": {"image": f"{PACKS}:{TAG}"},
            "workerDefaults": {"resources": _RESOURCES, "probes": _PROBES},
            "initResources": _RESOURCES,
            "workers": [
                {"name": pool.name, "image": f"{pool.image}:{TAG}", "replicas": pool.replicas, "env": dict(pool.env)}
                for pool in pools
            ],
        } | further
        place = self._directory / f"{namespace}.json"
        place.write_text(json.dumps(document))
        return place

    def deployment(self, pool: str) -> str:
        """The name of a pool's Deployment."""
        return f"{self.release}-worker-{pool}"


def _patch(pool: Pool) -> dict[str, Any]:
    container = {
        "name": "worker",
        "resources": _RESOURCES,
        "env": [{"name": name, "value": value} for name, value in pool.env.items()],
        **{f"{name}Probe": times for name, times in _PROBES.items()},
    }
    # Requests of all init containers count, too: the largest of them.
    small = [{"name": name, "resources": _RESOURCES} for name in ("install-agent", "copy-packs")]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "any"},
        "spec": {"template": {"spec": {"containers": [container], "initContainers": small}}},
    }
