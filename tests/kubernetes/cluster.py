"""A cluster as tests use it: objects in and out, what pods say, and images that pods may use."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE = 240.0


@dataclass(frozen=True)
class Cluster:
    """``host`` is this machine's address as pods see it; ``load`` makes a docker-archive available to pods.

    ``own``: nobody else uses it, so that a test may drain its node. ``runtime_seconds`` is the processor time that the
    node's kubelet and container runtime have used, where it is known.
    """

    programs: Path
    kubeconfig: Path
    host: str
    load: Callable[[Path], None]
    own: bool
    runtime_seconds: Callable[[], float] | None = None

    def try_kubectl(self, *words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run ``kubectl``, whatever comes of it."""
        return self._run("kubectl", words, text)

    def kubectl(self, *words: str, text: str | None = None) -> str:
        """Run ``kubectl``, which must succeed, and return what it prints."""
        return _checked(self._run("kubectl", words, text))

    def try_helm(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``helm``, whatever comes of it."""
        return self._run("helm", words, None)

    def helm(self, *words: str) -> str:
        """Run ``helm``, which must succeed, and return what it prints."""
        return _checked(self._run("helm", words, None))

    def apply(self, namespace: str, *objects: dict[str, Any]) -> None:
        """Create or change objects; a field that the API doesn't know is an error."""
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        self.kubectl("-n", namespace, "apply", "--validate=strict", "-f", "-", text=listed)

    def get(self, kind: str, namespace: str, selector: str = "") -> list[dict[str, Any]]:
        """Return the objects of a kind in a namespace."""
        chosen = ["-l", selector] if selector else []
        items: list[dict[str, Any]] = json.loads(self.kubectl("-n", namespace, "get", kind, "-o", "json", *chosen))[
            "items"
        ]
        return items

    def pods(self, namespace: str, selector: str = "") -> list[dict[str, Any]]:
        """Return the pods that aren't being deleted, oldest first."""
        found = [pod for pod in self.get("pods", namespace, selector) if "deletionTimestamp" not in pod["metadata"]]
        return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def make_namespace(self, name: str) -> None:
        """Make a namespace that admits only pods of the standard ``restricted``."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.apply("default", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        account = ("-n", name, "get", "serviceaccount", "default")
        wait(lambda: self.try_kubectl(*account).returncode == 0, f"the account of {name}")

    def make_secret(self, namespace: str, values: dict[str, str], name: str = "attune") -> None:
        """Make a Secret."""
        self.apply(namespace, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values})

    def what_pods_say(self, namespace: str) -> str:
        """Events of a namespace, states of its pods, and the last lines of their logs: for the report of a failure."""
        events = self.try_kubectl("-n", namespace, "get", "events", "--sort-by=.lastTimestamp").stdout
        lines = [self.try_kubectl("-n", namespace, "get", "pods", "-o", "wide").stdout, events[-4000:]]
        for pod in self.get("pods", namespace):
            log = self.try_kubectl("-n", namespace, "logs", pod["metadata"]["name"], "--all-containers", "--tail=15")
            lines.append(f"--- {pod['metadata']['name']}\n{log.stdout}{log.stderr}")
        return "\n".join(lines)

    def _run(self, program: str, words: Sequence[str], text: str | None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.programs / program), *words],
            env=os.environ | {"KUBECONFIG": str(self.kubeconfig)},
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )


def is_ready(pod: dict[str, Any]) -> bool:
    """Whether a pod's readiness probe holds."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def restarts(pod: dict[str, Any]) -> int:
    """How often the containers of a pod were started again."""
    return sum(int(one["restartCount"]) for one in pod.get("status", {}).get("containerStatuses", []))


def wait(condition: Callable[[], Any], what: str, timeout: float = PATIENCE) -> Any:
    """Wait until ``condition`` holds and return its value; ``what`` names it."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come about within {timeout:g} s"
        time.sleep(0.2)
    return value


def _checked(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, f"{' '.join(map(str, done.args))}: {done.stderr or done.stdout}"
    return done.stdout
