"""Attune's own server in the cluster: installed from nothing by the chart, two replicas, and pools that follow work.

PostgreSQL is the broker, too. Nobody of these tests places an execution: the servers in their pods do.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg.rows import dict_row

from tests.kubernetes.cluster import Cluster, is_ready, wait
from tests.kubernetes.operator_image import operator_image
from tests.kubernetes.pools import CHART, OPERATOR, TAG, Helm, Pool
from tests.kubernetes.site import IMAGES
from tests.services.deployment import ENCRYPTION_KEY
from tests.services.postgres import fresh_database
from tests.services.proxy import database_proxy

pytestmark = pytest.mark.postgres

NAMESPACE = "attune-server"


class Control:
    """Releases of the chart with a server, in one namespace, each on a schema of its own."""

    def __init__(self, cluster: Cluster, database_url: str, place: Path) -> None:
        """``database_url`` is the database as this machine reaches it; ``place`` is where files of values lie.

        ``said`` is what Helm said after the first release.
        """
        self.cluster = cluster
        self.namespace = NAMESPACE
        self.database_url = database_url
        self.said = ""
        self._helm = Helm(place)

    def values(self, schema: str, workers: int, servers: int) -> Path:
        """Write the values of a release whose pool has so many workers."""
        return self._helm.values(
            f"{NAMESPACE}-{schema}",
            [Pool("shell", IMAGES["shell"], workers)],
            databaseSchema=schema,
            messageQueueUrl="database",
            packs={"existingClaim": "packs"},
            migrations={"enabled": True},
            corePack={"enabled": True},
            server={
                "enabled": True,
                "replicas": servers,
                "env": {"ATTUNE__DISPATCHER__WAIT_FOR_WORKER": 300},
                "resources": {"requests": {"cpu": "10m"}},
            },
        )

    def install(self, release: str, schema: str, *, workers: int, servers: int) -> str:
        """Install a release, wait until all its pods are ready and its hooks have run; return what Helm says then."""
        values = str(self.values(schema, workers, servers))
        options = ["--install", "--wait", "--timeout", "280s", "-n", NAMESPACE]
        return self.cluster.helm("upgrade", *options, release, str(CHART), "-f", values)

    def servers(self, release: str) -> list[str]:
        """Names of the ready pods with a server."""
        selector = f"app.kubernetes.io/instance={release},app.kubernetes.io/component=server"
        return [pod["metadata"]["name"] for pod in self.cluster.pods(NAMESPACE, selector) if is_ready(pod)]

    def attune(self, release: str, *words: str) -> str:
        """Run the operator's command in a pod of the server."""
        pod = self.servers(release)[0]
        return self.cluster.kubectl("-n", NAMESPACE, "exec", pod, "-c", "server", "--", "attune", *words)

    def request(self, release: str) -> int:
        """Request an execution."""
        text = self.attune(release, "run", "core.echo", "-p", "message=hello", "--no-wait", "--json")
        return int(json.loads(text)["id"])

    def answer(self, pod: str, path: str) -> str:
        """What the server in a pod answers to GET."""
        return self.cluster.kubectl("get", "--raw", f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:8080/proxy{path}")

    def rows(self, statement: str, parameters: Any = ()) -> list[dict[str, Any]]:
        """Rows of a query on the database."""
        with psycopg.connect(self.database_url, row_factory=dict_row, autocommit=True) as connection:
            cursor = connection.execute(statement, parameters)  # type: ignore[call-overload]
            return list(cursor.fetchall()) if cursor.description else []

    def wait_completed(self, ids: list[int], schema: str = "attune") -> None:
        """Wait until executions have completed."""
        statement = f"SELECT id, status::text, result FROM {schema}.execution WHERE id = ANY(%s)"

        def ended() -> list[dict[str, Any]]:
            rows = self.rows(statement, [ids])
            over = all(row["status"] in ("completed", "failed", "abandoned", "timeout") for row in rows)
            return rows if over else []

        rows = wait(ended, f"the end of {len(ids)} executions")
        assert [row for row in rows if row["status"] != "completed"] == []


@pytest.fixture(scope="module")
def control(
    cluster: Cluster, worker_images: None, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Control]:
    """The release ``first`` on an empty database: two servers, and a pool without a worker."""
    if not cluster.own:
        pytest.skip("a cluster that others use is given no volume on its node")
    place = tmp_path_factory.mktemp("server")
    place.parent.chmod(0o755)
    place.parent.parent.chmod(0o755)
    place.chmod(0o755)
    cluster.load(operator_image(place, f"{OPERATOR}:{TAG}"))
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(fresh_database(postgres_url, "server"))
        _, address = stack.enter_context(database_proxy(url, address=cluster.host))
        cluster.make_namespace(NAMESPACE)
        stack.callback(cluster.try_kubectl, "delete", "persistentvolume", "packs", "--wait=false")
        stack.callback(cluster.try_kubectl, "delete", "namespace", NAMESPACE, "--wait=false")
        secret = {"ATTUNE__DATABASE__URL": address, "ATTUNE__SECURITY__ENCRYPTION_KEY": ENCRYPTION_KEY}
        cluster.make_secret(NAMESPACE, secret)
        _make_claim(cluster, place / "packs")
        made = Control(cluster, url, place)
        try:
            made.said = made.install("first", "attune", workers=0, servers=2)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{cluster.what_pods_say(NAMESPACE)}") from None
        yield made


def _make_claim(cluster: Cluster, directory: Path) -> None:
    """A volume that all pods share, as a file server's would be."""
    directory.mkdir()
    directory.chmod(0o777)
    size, modes = {"storage": "1Gi"}, ["ReadWriteMany"]
    volume = {"capacity": size, "accessModes": modes, "hostPath": {"path": str(directory)}, "storageClassName": "none"}
    claim = {
        "accessModes": modes,
        "resources": {"requests": size},
        "volumeName": "packs",
        "storageClassName": "none",
    }
    name = {"name": "packs"}
    cluster.apply("default", {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": name, "spec": volume})
    cluster.apply(NAMESPACE, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": name, "spec": claim})


def counts(text: str) -> dict[str, int]:
    """The metrics about shell actions."""
    found = re.findall(r'^attune_(\w+)_executions\{runtime="Shell"\} (\d+)$', text, re.MULTILINE)
    return {name: int(number) for name, number in found}


def test_the_chart_makes_a_deployment_of_an_empty_database(control: Control) -> None:
    servers = control.servers("first")
    assert len(servers) == 2
    for pod in servers:
        assert json.loads(control.answer(pod, "/health/detailed"))["database"] == "connected"
    assert control.rows("SELECT ref FROM attune.pack") == [{"ref": "core"}]
    assert control.cluster.get("jobs", NAMESPACE) == []
    assert "exec -it deploy/first-attune-agent-server -- attune identity create" in control.said


def test_a_pool_without_a_worker_is_started_by_the_work_that_waits_for_it(control: Control) -> None:
    """What KEDA does is done here by hand; the query is the one that it would be given."""
    assert control.rows("SELECT 1 FROM attune.worker WHERE status = 'active'") == []
    waiting = [control.request("first") for _ in range(3)]
    wait(
        lambda: all(
            counts(control.answer(pod, "/metrics")) == {"waiting": 3, "unfinished": 3}
            for pod in control.servers("first")
        ),
        "three waiting executions in the metrics of both servers",
        30,
    )
    pool = {"name": "shell", "image": "x", "autoscaling": {"enabled": True, "runtimes": ["shell"]}}
    file = control.values("attune", 0, 0).with_name("scaled.json")
    file.write_text(json.dumps({"workers": [pool]}))
    text = control.cluster.helm("template", "x", str(CHART), "-f", str(file))
    (scaled,) = [one for one in yaml.safe_load_all(text) if one and one["kind"] == "ScaledObject"]
    query = scaled["spec"]["triggers"][0]["metadata"]["query"]
    assert control.rows(query) == [{"count": 3}]
    control.cluster.kubectl("-n", NAMESPACE, "scale", "deployment/first-attune-agent-worker-shell", "--replicas=1")
    control.wait_completed(waiting)
    assert control.rows(query) == [{"count": 0}]
    assert counts(control.answer(control.servers("first")[0], "/metrics")) == {}


def test_a_rollout_of_the_servers_loses_nothing_also_on_a_schema_of_a_later_version(control: Control) -> None:
    """As after a roll-back of the chart: the migrations that the later version applied stay."""
    later = "INSERT INTO attune.attune_migration (name, checksum) VALUES ('29990101000001_later_server.sql', 'x')"
    control.rows(later)
    before = control.servers("first")
    asked = [control.request("first") for _ in range(3)]
    target = "deployment/first-attune-agent-server"
    control.cluster.kubectl("-n", NAMESPACE, "rollout", "restart", target)
    control.cluster.kubectl("-n", NAMESPACE, "rollout", "status", target, "--timeout=240s")
    wait(lambda: not set(before) & set(control.servers("first")), "other pods")
    asked.append(control.request("first"))
    control.wait_completed(asked)


def test_a_second_release_on_a_schema_of_its_own_lives_and_goes_beside_the_first(control: Control) -> None:
    control.install("second", "other", workers=1, servers=1)
    control.wait_completed([control.request("second")], "other")
    control.cluster.helm("uninstall", "-n", NAMESPACE, "second", "--wait", "--timeout", "120s")
    left = "SELECT name FROM other.worker WHERE status <> 'inactive'"
    wait(lambda: not control.rows(left), "the end of its worker", 60)
    control.wait_completed([control.request("first")])
