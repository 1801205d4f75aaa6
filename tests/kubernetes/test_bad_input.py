"""What an operator gets wrong ends in an event of the pod, a line of its log or an error of Helm that names it.

All pods of the module are made at once, so that what they wait for is waited for once.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.cluster import Cluster, is_ready, wait
from tests.kubernetes.images import archive, layer
from tests.kubernetes.pools import CHART, TAG, Helm
from tests.kubernetes.site import IMAGES, Site

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

NAMESPACE = "attune-wrong"
PREVIOUS = "0.0.9"
FOREIGN_AGENT = "localhost/foreign-agent"
SHELL = IMAGES["shell"]


class Wrong:
    """Releases that are wrong, one each, in a namespace of their own."""

    def __init__(self, site: Site, place: Path) -> None:
        """``place`` is where files of values lie."""
        self.cluster: Cluster = site.cluster
        self.namespace = NAMESPACE
        self._helm = Helm(place)

    def values(self, release: str, **further: Any) -> Path:
        """Write the values of a release with one pool; ``worker`` are further keys of it."""
        worker = {"name": "pool", "image": f"{SHELL}:{TAG}", "replicas": 1} | further.pop("worker", {})
        return self._helm.values(f"{NAMESPACE}-{release}", [], workers=[worker], **further)

    def install(self, release: str, *, chart: Path = CHART, **further: Any) -> None:
        """Install a release."""
        values = str(self.values(release, **further))
        self.cluster.helm("install", "-n", NAMESPACE, release, str(chart), "-f", values)

    def pods(self, release: str) -> list[dict[str, Any]]:
        """The pods of a release."""
        return self.cluster.pods(NAMESPACE, f"app.kubernetes.io/instance={release}")

    def says(self, release: str) -> str:
        """Everything that the pods of a release show: events, states and logs."""
        texts = []
        for pod in self.pods(release):
            name = pod["metadata"]["name"]
            texts.append(json.dumps(pod["status"]))
            chosen = f"--field-selector=involvedObject.name={name}"
            events = self.cluster.kubectl("-n", NAMESPACE, "get", "events", chosen, "-o", "json")
            texts += [item["message"] for item in json.loads(events)["items"]]
            texts.append(self.cluster.try_kubectl("-n", NAMESPACE, "logs", name, "--all-containers").stdout)
        return "\n".join(texts)

    def wait_says(self, release: str, *words: str) -> None:
        """Wait until a release shows all ``words``."""
        said = ""

        def told() -> bool:
            nonlocal said
            said = self.says(release)
            return all(word in said for word in words)

        try:
            wait(told, f"{words} of {release}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it says:\n{said}") from None


@pytest.fixture(scope="module")
def wrong(sites: list[Site], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wrong]:
    """All wrong releases, installed."""
    site, place = sites[1], tmp_path_factory.mktemp("wrong")
    made = Wrong(site, place)
    cluster = site.cluster
    cluster.make_namespace(NAMESPACE)
    cluster.make_secret(NAMESPACE, site.secret)
    lacking = {name: text for name, text in site.secret.items() if "MESSAGE" not in name}
    cluster.make_secret(NAMESPACE, lacking, "lacking")
    away = "postgresql://attune:secret@127.0.0.1:1/attune"
    cluster.make_secret(NAMESPACE, site.secret | {"ATTUNE__DATABASE__URL": away}, "away")
    foreign = layer(place / "foreign-layer.tar", {"attune-agent": _foreign_program()})
    cluster.load(archive(place / "foreign.tar", f"{FOREIGN_AGENT}:{TAG}", [foreign]))
    made.install("lacking", secret={"name": "lacking"})
    made.install("unnamed", secret={"name": "nowhere"})
    made.install("misnamed", worker={"image": "localhost/no-such-image:1", "imagePullPolicy": "Never"})
    made.install("away", secret={"name": "away"})
    made.install("foreign", images={"agent": {"repository": FOREIGN_AGENT, "tag": TAG}})
    made.install("full", agentVolume={"sizeLimit": "1Mi"})
    made.install("mistyped", config={"worker": {"task_timeout": "often"}})
    made.install("elsewhere", worker={"nodeSelector": {"kubernetes.io/arch": "riscv64"}})
    made.install("first", chart=_previous_chart(place))
    made.install("second")
    yield made
    cluster.try_kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def _previous_chart(place: Path) -> Path:
    """The chart as the version before this one."""
    copy = place / "previous"
    shutil.copytree(CHART, copy)
    about = copy / "Chart.yaml"
    text = about.read_text()
    about.write_text(re.sub("^version: .*", f"version: {PREVIOUS}", text, flags=re.MULTILINE))
    return copy


def _foreign_program() -> bytes:
    """The head of an ELF file for a machine that this one is not."""
    return b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xf3\x00" + bytes(44)


def test_a_secret_that_lacks_a_key_is_an_event_with_the_key(wrong: Wrong) -> None:
    wrong.wait_says("lacking", "couldn't find key ATTUNE__MESSAGE_QUEUE__URL in Secret")


def test_a_secret_that_is_not_there_is_an_event_with_its_name(wrong: Wrong) -> None:
    wrong.wait_says("unnamed", 'secret "nowhere" not found')


def test_a_wrong_image_is_an_event_with_its_name(wrong: Wrong) -> None:
    wrong.wait_says("misnamed", "localhost/no-such-image:1")


def test_a_database_that_is_away_at_the_start_is_in_the_pods_status(wrong: Wrong) -> None:
    """Not only in a log that the next try overwrites: the last sentence of the container stays in its status."""

    def told() -> bool:
        states = [one for pod in wrong.pods("away") for one in pod["status"].get("containerStatuses", [])]
        ended = [one.get("lastState", {}).get("terminated") or one["state"].get("terminated") for one in states]
        return any(one and one["exitCode"] == 3 and "127.0.0.1:1" in one.get("message", "") for one in ended)

    wait(told, "the sentence in the status", 180)


def test_an_agent_for_another_machine_is_a_sentence(wrong: Wrong) -> None:
    wrong.wait_says("foreign", "exec format error")


def test_a_node_of_another_architecture_is_an_event_with_the_reason(wrong: Wrong) -> None:
    wrong.wait_says("elsewhere", "didn't match Pod's node affinity/selector")


def test_a_volume_that_is_too_small_is_an_event_with_its_name(wrong: Wrong) -> None:
    """The kubelet measures a directory now and then: the pod may have run until it is evicted."""

    def told() -> bool:
        events = wrong.cluster.get("events", NAMESPACE)
        return any('EmptyDir volume "agent" exceeds the limit "1Mi"' in event["message"] for event in events)

    wait(told, "the eviction", 180)


def test_a_setting_that_is_wrong_names_file_key_and_value(wrong: Wrong) -> None:
    wrong.wait_says("mistyped", "config.yaml", "worker.task_timeout", "often")


def test_two_releases_in_one_namespace_work_beside_each_other(wrong: Wrong) -> None:
    for release in ("first", "second"):
        wait(lambda release=release: [pod for pod in wrong.pods(release) if is_ready(pod)], release)  # type: ignore[misc]


def test_a_release_that_wants_anothers_names_is_refused_with_both(wrong: Wrong) -> None:
    values = str(wrong.values("third", fullnameOverride="first-attune-agent"))
    done = wrong.cluster.try_helm("install", "-n", NAMESPACE, "third", str(CHART), "-f", values)
    assert done.returncode != 0
    assert "first-attune-agent" in done.stderr
    assert '"first"' in done.stderr


def test_a_roll_back_to_the_previous_version_of_the_chart_works(wrong: Wrong) -> None:
    cluster = wrong.cluster
    target = "deployment/first-attune-agent-worker-pool"

    def installed() -> str:
        text = cluster.kubectl("-n", NAMESPACE, "get", target, "-o", "json")
        return str(json.loads(text)["metadata"]["labels"]["helm.sh/chart"])

    assert installed() == f"attune-agent-{PREVIOUS}"
    values = str(wrong.values("first", config={"worker": {"task_timeout": 60}}))
    cluster.helm("upgrade", "-n", NAMESPACE, "first", str(CHART), "-f", values)
    assert installed() != f"attune-agent-{PREVIOUS}"
    cluster.helm("rollback", "-n", NAMESPACE, "first", "1", "--wait", "--timeout", "180s")
    assert installed() == f"attune-agent-{PREVIOUS}"
    wait(lambda: [pod for pod in wrong.pods("first") if is_ready(pod)], "the release before")
    configuration = cluster.get("configmaps", NAMESPACE, "app.kubernetes.io/instance=first")[0]["data"]["config.yaml"]
    assert "task_timeout" not in configuration


def test_a_misspelt_key_is_an_error_with_its_name(wrong: Wrong) -> None:
    values = str(wrong.values("typo", worker={"replica": 3}))
    done = wrong.cluster.try_helm("install", "-n", NAMESPACE, "typo", str(CHART), "-f", values)
    assert done.returncode != 0
    assert "replica" in done.stderr


#: Volumes for artifacts that take nothing, or next to nothing.
USELESS = {
    "readonly": ({"emptyDir": {}}, {"readOnly": True}, "Read-only file system"),
    "full": ({"emptyDir": {"medium": "Memory", "sizeLimit": "64Ki"}}, {}, "No space left on device"),
}


def test_artifacts_that_cannot_be_written_cost_the_logs_only(sites: list[Site]) -> None:
    site = sites[1]
    pools = [
        {
            "name": name,
            "image": f"{SHELL}:{TAG}",
            "volumes": [{"name": "useless"} | volume],
            "volumeMounts": [{"name": "useless", "mountPath": f"/{name}"} | mount],
            "env": {"ATTUNE__ARTIFACTS_DIR": f"/{name}"},
        }
        for name, (volume, mount, _) in USELESS.items()
    ]
    values = Helm.values(site.installer, "useless", [], workers=pools)  # type: ignore[arg-type]
    site.cluster.helm("install", "-n", site.namespace, "useless", str(CHART), "-f", str(values))
    try:
        for name, (_, _, reason) in USELESS.items():
            (pod,) = site.wait_ready(name, 1)
            site.executor.pool = name
            (row,) = site.wait_ended(site.request("pods.loud"))
            assert row.status == "completed", row.result
            said = site.kubectl("logs", pod["metadata"]["name"], "-c", "worker")
            assert f"can't write to artifacts_dir /{name}, so logs are not kept: {reason}" in said
    finally:
        site.executor.pool = None
        site.cluster.helm("uninstall", "-n", site.namespace, "useless")
