"""What the manifests and the chart render: the promises of every pod, whichever way it was installed."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import yaml

from tests.kubernetes.objects import MANIFESTS, Objects, container, variables
from tests.kubernetes.rendering import PYTHON, pod_of

OVERLAYS = ("python", "node", "ruby", "gpu")


@pytest.fixture(params=["kustomize", "helm"])
def worker(request: pytest.FixtureRequest) -> Objects:
    """The objects of one pool, rendered each way."""
    if request.param == "helm":
        found: Objects = request.getfixturevalue("chart")(workers=[PYTHON])
        return found
    rendered: Objects = request.getfixturevalue("overlay")("python")
    return rendered


def test_every_container_is_restricted(worker: Objects) -> None:
    spec = pod_of(worker)["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for one in (*spec["initContainers"], *spec["containers"]):
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    assert spec["automountServiceAccountToken"] is False
    assert worker.only("ServiceAccount")["automountServiceAccountToken"] is False
    assert worker.only("ServiceAccount")["metadata"]["name"] == spec["serviceAccountName"]


def test_the_agent_is_installed_into_a_volume_that_the_worker_can_only_read(worker: Objects) -> None:
    pod = pod_of(worker)
    install = container(pod, "install-agent")
    assert install["command"] == ["/attune-agent", "install", "/opt/attune/bin"]
    assert install["volumeMounts"] == [{"name": "agent", "mountPath": "/opt/attune/bin"}]
    assert "limits" not in install["resources"]
    mounts = {one["mountPath"]: one for one in container(pod)["volumeMounts"]}
    assert mounts["/opt/attune/bin"]["readOnly"] is True
    assert container(pod)["command"] == ["/opt/attune/bin/attune-agent"]


def test_every_writable_path_is_a_volume(worker: Objects) -> None:
    pod = pod_of(worker)
    writable = {one["mountPath"] for one in container(pod)["volumeMounts"] if not one.get("readOnly")}
    assert writable == {"/opt/attune/runtime_envs", "/opt/attune/artifacts", "/tmp"}
    named = {one["name"] for one in container(pod)["volumeMounts"]}
    assert named == {volume["name"] for volume in pod["spec"]["volumes"]}


def test_probes_ask_the_launcher(worker: Objects) -> None:
    worker_container = container(pod_of(worker))
    agent = "/opt/attune/bin/attune-agent"
    assert worker_container["startupProbe"]["exec"]["command"] == [agent, "health"]
    assert worker_container["readinessProbe"]["exec"]["command"] == [agent, "health"]
    assert worker_container["livenessProbe"]["exec"]["command"] == [agent, "health", "--live"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert worker_container[probe]["timeoutSeconds"] >= 5
    assert "lifecycle" not in worker_container


def test_the_worker_is_the_pod_and_drains_before_the_kubelet_kills(worker: Objects) -> None:
    pod = pod_of(worker)
    told = variables(pod)
    assert told["ATTUNE_WORKER_NAME"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert told["ATTUNE__WORKER__ORIGIN__NODE"] == {"fieldRef": {"fieldPath": "spec.nodeName"}}
    grace = pod["spec"]["terminationGracePeriodSeconds"]
    assert told["ATTUNE_STOP_GRACE_PERIOD"] == str(grace) == "45"
    assert told.get("ATTUNE__WORKER__SHUTDOWN_TIMEOUT", "40") == "40"
    configuration = yaml.safe_load(worker.only("ConfigMap")["data"]["config.yaml"])
    assert configuration["worker"]["ephemeral"] is True
    assert configuration["worker"]["labels_file"] == "/opt/attune/pod/labels"


def test_the_servers_are_named_by_a_secret_whose_keys_may_not_be_missing(worker: Objects) -> None:
    told = variables(pod_of(worker))
    for name in ("ATTUNE__DATABASE__URL", "ATTUNE__MESSAGE_QUEUE__URL"):
        assert told[name] == {"secretKeyRef": {"name": "attune", "key": name}}
    for name in ("ATTUNE__SECURITY__ENCRYPTION_KEY", "ATTUNE__SECURITY__JWT_SECRET"):
        assert told[name] == {"secretKeyRef": {"name": "attune", "key": name, "optional": True}}


def test_what_a_container_said_last_is_in_the_pods_status(worker: Objects) -> None:
    spec = pod_of(worker)["spec"]
    for one in (*spec["initContainers"], *spec["containers"]):
        assert one["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_budget_and_policy_choose_the_pods_of_the_pool(worker: Objects) -> None:
    labels = pod_of(worker)["metadata"]["labels"]
    selector = worker.only("Deployment")["spec"]["selector"]["matchLabels"]
    budget = worker.only("PodDisruptionBudget")["spec"]
    policy = worker.only("NetworkPolicy")["spec"]
    assert selector.items() <= labels.items()
    assert budget["selector"]["matchLabels"].items() <= labels.items()
    assert budget["maxUnavailable"] == 1
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert (policy["policyTypes"], policy["ingress"]) == (["Ingress"], [])
    assert labels["attune.io/pool"] == "python"


# --- manifests ---


@pytest.mark.parametrize("name", OVERLAYS)
def test_overlays_are_apart_from_each_other(overlay: Callable[..., Objects], name: str) -> None:
    objects = overlay(name)
    assert all(one["metadata"]["name"].startswith(f"attune-worker-{name}") for one in objects.all)
    for kind, path in (("Deployment", "matchLabels"), ("PodDisruptionBudget", "matchLabels")):
        assert objects.only(kind)["spec"]["selector"][path]["attune.io/pool"] == name


def test_the_overlay_for_graphics_processors_asks_for_one(overlay: Callable[..., Objects]) -> None:
    deployment = overlay("gpu").only("Deployment")["spec"]
    spec = deployment["template"]["spec"]
    assert spec["runtimeClassName"] == "nvidia"
    assert spec["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert spec["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert container({"spec": spec})["resources"]["limits"] == {"nvidia.com/gpu": 1}
    assert deployment["strategy"]["rollingUpdate"]["maxSurge"] == 0


def test_another_configuration_gives_the_pods_another_name_of_it(overlay: Callable[..., Objects]) -> None:
    name = overlay("python").only("ConfigMap")["metadata"]["name"]
    changed = overlay(
        "python",
        configMapGenerator=[{"name": "attune-worker-python", "behavior": "merge", "literals": ["config.yaml=log: {}"]}],
    )
    other = changed.only("ConfigMap")["metadata"]["name"]
    assert other != name
    volumes = changed.only("Deployment")["spec"]["template"]["spec"]["volumes"]
    assert {"name": "configuration", "configMap": {"name": other}} in volumes


def test_one_value_sets_grace_and_drain(overlay: Callable[..., Objects]) -> None:
    patch = [{"op": "replace", "path": "/spec/template/spec/terminationGracePeriodSeconds", "value": 600}]
    block = yaml.safe_load((MANIFESTS / "overlays/python/kustomization.yaml").read_text())["replacements"]
    objects = overlay(
        "python", patches=[{"target": {"kind": "Deployment"}, "patch": json.dumps(patch)}], replacements=block
    )
    pod = pod_of(objects)
    assert pod["spec"]["terminationGracePeriodSeconds"] == 600
    assert variables(pod)["ATTUNE_STOP_GRACE_PERIOD"] == "600"


def test_components_narrow_egress_and_share_volumes(overlay: Callable[..., Objects]) -> None:
    objects = overlay("python", components=["components/restricted-egress", "components/shared-volumes"])
    policy = objects.only("NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    ports = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert ports == {53, 5432, 5672}
    claims = {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for volume in pod_of(objects)["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert claims == {
        "packs": "attune-packs",
        "runtime-envs": "attune-runtime-envs",
        "artifacts": "attune-artifacts",
    }
    assert all("emptyDir" not in one for one in pod_of(objects)["spec"]["volumes"] if one["name"] in claims)
