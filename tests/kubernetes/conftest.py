"""A cluster, images that it has, and the same pools twice: installed by kustomize and by the chart."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.kubernetes import programs as kubernetes
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.images import archive, layer
from tests.kubernetes.node import missing, running
from tests.kubernetes.pools import AGENT, PACKS, TAG, Helm, Installer, Kustomize
from tests.kubernetes.rendering import chart, overlay, refused
from tests.kubernetes.site import IMAGES, Site, add_actions
from tests.services import roots
from tests.services.availability import unavailable
from tests.services.deployment import running_deployment
from tests.services.proxy import broker_proxy, database_proxy

__all__ = ["chart", "overlay", "refused"]

# A developer's KUBECONFIG may name a cluster that matters: only `make test-kubernetes` says that tests may use it.
collect_ignore_glob = [] if os.environ.get("ATTUNE_TEST_KUBERNETES") else ["test_*.py"]


@pytest.fixture(scope="session")
def programs() -> Path:
    """The directory of kubectl, helm and the cluster's programs, compiled when they are missing."""
    try:
        return kubernetes.build()
    except kubernetes.CannotBuild as error:
        unavailable("Kubernetes", str(error))


@pytest.fixture(scope="session")
def cluster(programs: Path) -> Iterator[Cluster]:
    """The cluster of ``KUBECONFIG``, else one of our own: it needs root, and ends with the tests.

    A given cluster needs two facts more: ``ATTUNE_TEST_KUBERNETES_HOST``, this machine's address as pods see it, and
    ``ATTUNE_TEST_KUBERNETES_LOAD``, a command that makes a docker-archive available to pods, such as
    ``kind load image-archive``.
    """
    given = os.environ.get("KUBECONFIG")
    if given:
        command = shlex.split(os.environ["ATTUNE_TEST_KUBERNETES_LOAD"])

        def load(image: Path) -> None:
            subprocess.run([*command, image], check=True)

        yield Cluster(programs, Path(given), os.environ["ATTUNE_TEST_KUBERNETES_HOST"], load, own=False)
        return
    if lacking := missing():
        unavailable("a Kubernetes cluster", f"it needs {', '.join(lacking)}; or set KUBECONFIG")
    with running(programs) as node:
        yield Cluster(
            programs, node.kubeconfig, node.address, node.load, own=True, runtime_seconds=node.runtime_seconds
        )


@pytest.fixture(scope="session")
def worker_images(cluster: Cluster, agent_file: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Load the images of ``IMAGES`` and the agent's."""
    place = tmp_path_factory.mktemp("images")

    def make(image: str, root: str) -> None:
        cluster.load(archive(place / f"{root}.tar", f"{image}:{TAG}", [roots.archive(root)]))

    with ThreadPoolExecutor(2) as several:
        list(several.map(make, IMAGES.values(), ("debian", "node", "ruby", "busybox")))
    agent = layer(place / "agent-layer.tar", {"attune-agent": agent_file})
    cluster.load(archive(place / "agent.tar", f"{AGENT}:{TAG}", [roots.archive("busybox"), agent]))


@pytest.fixture(scope="session")
def sites(
    request: pytest.FixtureRequest, cluster: Cluster, worker_images: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Site]]:
    """Two deployments of Attune without workers, each with a namespace: one for kustomize, one for the chart."""
    place = tmp_path_factory.mktemp("sites")
    installers: list[Installer] = [Kustomize(place), Helm(place)]
    with contextlib.ExitStack() as stack:
        made = []
        for installer in installers:
            deployment = stack.enter_context(running_deployment(request))
            add_actions(deployment)
            _, database = stack.enter_context(database_proxy(deployment.database_url, address=cluster.host))
            _, broker = stack.enter_context(broker_proxy(deployment.wire.url, address=cluster.host))
            made.append(Site(cluster, installer, deployment, {"database": database, "broker": broker}))
        packs = layer(place / "packs-layer.tar", {"packs": made[0].deployment.packs})
        cluster.load(archive(place / "packs.tar", f"{PACKS}:{TAG}", [roots.archive("busybox"), packs]))
        for site in made:
            site.prepare()
            stack.callback(site.close)
        yield made


@pytest.fixture
def site(sites: list[Site]) -> Site:
    """One of them, for what doesn't differ: the chart's."""
    return sites[1]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the pods said where a test failed."""
    report = yield
    if report.failed:
        places = {}
        for argument in getattr(item, "funcargs", {}).values():
            for one in argument if isinstance(argument, list) else [argument]:
                if isinstance(getattr(one, "cluster", None), Cluster):
                    places[one.namespace] = one
        for one in places.values():
            report.sections.append((f"pods of {one.namespace}", one.cluster.what_pods_say(one.namespace)))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests measured."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.getreports(kind)]
    figures = [pair for report in reports if "tests/kubernetes/" in report.nodeid for pair in report.user_properties]
    if figures:
        terminalreporter.section("figures of the cluster")
        for name, value in figures:
            terminalreporter.line(f"{name}: {value}")
