"""One deployment of Attune whose workers are pods: its namespace, its servers as pods reach them, and its executor."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any

import pika.exceptions

from agent.mq import topology
from tests.kubernetes.cluster import Cluster, is_ready, wait
from tests.kubernetes.executor import Executor, scheduling
from tests.kubernetes.pools import Installer, Pool
from tests.services.deployment import ENCRYPTION_KEY, ENDED, JWT_SECRET, Deployment, Execution

#: Stand-ins of the images that the manifests name, by pool.
IMAGES = {
    "python": "localhost/python",
    "node": "localhost/node",
    "ruby": "localhost/ruby",
    "shell": "localhost/busybox",
}


def add_actions(deployment: Deployment) -> None:
    """Register the actions of these tests: one a language, one with much output, and two of a known length."""
    deployment.add_action("pods.python", "import sys; print('python', sys.version_info[0])\n", runtime="core.python")
    deployment.add_action("pods.node", "console.log('node', process.version)\n", runtime="core.nodejs")
    deployment.add_action("pods.ruby", "puts 'ruby ' + RUBY_VERSION\n", runtime="core.ruby", entrypoint="hello.rb")
    deployment.add_action("pods.shell", "#!/bin/sh\necho shell\n")
    deployment.add_action("pods.loud", "#!/bin/sh\nhead -c 1000000 /dev/zero | tr '\\0' x\n")
    deployment.add_action("pods.brief", "#!/bin/sh\nsleep 0.3\n")
    deployment.add_action("pods.long", "#!/bin/sh\nsleep 40\n")


class Site:
    """Pods of one namespace, and Attune's side of them."""

    def __init__(
        self, cluster: Cluster, installer: Installer, deployment: Deployment, addresses: dict[str, str]
    ) -> None:
        """``addresses`` are the URLs of ``database`` and ``broker`` as pods reach them."""
        self.cluster = cluster
        self.installer = installer
        self.deployment = deployment
        self.namespace = f"attune-{installer.kind}"
        self.secret = {
            "ATTUNE__DATABASE__URL": addresses["database"],
            "ATTUNE__MESSAGE_QUEUE__URL": addresses["broker"],
            "ATTUNE__SECURITY__ENCRYPTION_KEY": ENCRYPTION_KEY,
            "ATTUNE__SECURITY__JWT_SECRET": JWT_SECRET,
        }
        self._stack = contextlib.ExitStack()
        self.executor: Executor

    def prepare(self) -> None:
        """Make the namespace and its Secret, and start the executor."""
        self.cluster.make_namespace(self.namespace)
        self.cluster.make_secret(self.namespace, self.secret)
        self.executor = self._stack.enter_context(scheduling(self.deployment))

    def close(self) -> None:
        """Delete the namespace and stop the executor."""
        self.cluster.try_kubectl("delete", "namespace", self.namespace, "--wait=false")
        self._stack.close()

    # --- pods ---

    def install(self, *pools: Pool) -> None:
        """Install pools, or change them, without waiting."""
        self.installer.install(self.cluster, self.namespace, pools)

    def target(self, pool: str) -> str:
        """A pool's Deployment as ``kubectl`` names it."""
        return f"deployment/{self.installer.deployment(pool)}"

    def kubectl(self, *words: str) -> str:
        """Run ``kubectl`` in the namespace."""
        return self.cluster.kubectl("-n", self.namespace, *words)

    def pods(self, pool: str) -> list[dict[str, Any]]:
        """The pods of a pool that aren't being deleted."""
        return self.cluster.pods(self.namespace, f"attune.io/pool={pool}")

    def wait_ready(self, pool: str, count: int) -> list[dict[str, Any]]:
        """Wait until a pool has exactly so many pods, all ready, and return them."""

        def ready() -> list[dict[str, Any]]:
            pods = self.pods(pool)
            return pods if len(pods) == count and all(map(is_ready, pods)) else []

        found: list[dict[str, Any]] = wait(ready, f"{count} ready pods of {self.namespace}/{pool}")
        return found

    def events(self, reason: str) -> list[str]:
        """Messages of the events with this reason."""
        text = self.kubectl("get", "events", f"--field-selector=reason={reason}", "-o", "json")
        return [str(item["message"]) for item in json.loads(text)["items"]]

    # --- Attune's side ---

    def request(self, action_ref: str, count: int = 1) -> list[int]:
        """Request executions; the executor places them."""
        action = self.deployment.one("SELECT id FROM action WHERE ref = %s", [action_ref])["id"]
        rows = self.deployment.all(
            "INSERT INTO execution (action, action_ref, config, status)"
            " SELECT %s, %s, '{}', 'requested' FROM generate_series(1, %s) RETURNING id",
            [action, action_ref, count],
        )
        return [int(row["id"]) for row in rows]

    def statuses(self, ids: Sequence[int]) -> list[str]:
        """The present statuses of executions."""
        rows = self.deployment.all("SELECT status::text FROM execution WHERE id = ANY(%s)", [list(ids)])
        return [str(row["status"]) for row in rows]

    def wait_ended(self, ids: Sequence[int], timeout: float = 300.0) -> list[Execution]:
        """Wait until executions have ended and return them."""
        wait(
            lambda: all(status in ENDED for status in self.statuses(ids)), f"the end of {len(ids)} executions", timeout
        )
        return [self.deployment.execution(id_) for id_ in ids]

    def worker(self, pod: str) -> dict[str, Any]:
        """The row of a pod's worker."""
        return self.deployment.one("SELECT id, status::text, capabilities, meta FROM worker WHERE name = %s", [pod])

    def active_workers(self) -> set[str]:
        """Names of the workers that would be given work."""
        return {str(row["name"]) for row in self.deployment.all("SELECT name FROM worker WHERE status <> 'inactive'")}

    def queues_left(self) -> list[str]:
        """Queues of workers that are inactive."""
        rows = self.deployment.all("SELECT id FROM worker WHERE status = 'inactive'")
        return [queue for row in rows for queue in topology.owned_queues(row["id"]) if self._exists(queue)]

    def completions(self, ids: Sequence[int]) -> dict[int, int]:
        """How many completions of each execution the executor was sent."""
        wire = self.deployment.wire
        self.deployment.received += wire.collect()
        counts = dict.fromkeys(ids, 0)
        for message in self.deployment.received:
            if message.queue == "peer.observer" and message.kind == "ExecutionCompleted":
                execution = message.payload["execution_id"]
                counts[execution] = counts.get(execution, 0) + (execution in counts)
        return {id_: counts[id_] for id_ in ids}

    def _exists(self, queue: str) -> bool:
        try:
            self.deployment.wire.depth(queue)
        except pika.exceptions.ChannelClosedByBroker:  # 404; the wire opens another channel
            return False
        return True
