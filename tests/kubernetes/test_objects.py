"""What the manifests and the chart render: the promises of every pod, whichever way it was installed."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kubernetes.objects import CHART, MANIFESTS, Object, Objects, container, variables

OVERLAYS = ("python", "node", "ruby", "gpu")
Render = Callable[..., Objects]


def run(programs: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(programs / words[0]), *words[1:]], capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def chart(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Render the chart with these values."""
    place = tmp_path_factory.mktemp("values")

    def render(release: str = "attune-agent", **values: Any) -> Objects:
        file = place / "values.json"
        file.write_text(json.dumps(values))
        done = run(programs, "helm", "template", release, str(CHART), "-n", "work", "-f", str(file))
        assert done.returncode == 0, done.stderr
        return Objects(done.stdout)

    return render


@pytest.fixture(scope="session")
def refused(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Return what Helm says about values that the chart refuses."""
    place = tmp_path_factory.mktemp("refused")

    def refuse(**values: Any) -> str:
        file = place / "values.json"
        file.write_text(json.dumps(values))
        done = run(programs, "helm", "template", "x", str(CHART), "-f", str(file))
        assert done.returncode != 0, done.stdout
        return done.stderr

    return refuse


@pytest.fixture(scope="session")
def overlay(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Objects]:
    """Render an overlay, or one of an operator's own on top of it with ``further`` keys."""

    def render(name: str, **further: Any) -> Objects:
        place = MANIFESTS / "overlays" / name
        if further:
            top = tmp_path_factory.mktemp("overlay")

            document = {"resources": [os.path.relpath(place, top)]}
            for key, value in further.items():
                document[key] = (
                    [os.path.relpath(MANIFESTS / one, top) for one in value] if key == "components" else value
                )
            (top / "kustomization.yaml").write_text(json.dumps(document))
            place = top
        done = run(programs, "kubectl", "kustomize", str(place))
        assert done.returncode == 0, done.stderr
        return Objects(done.stdout)

    return render


PYTHON = {"name": "python", "image": "python:3.12-slim", "replicas": 3}


@pytest.fixture(params=["kustomize", "helm"])
def worker(request: pytest.FixtureRequest) -> Objects:
    """The objects of one pool, rendered each way."""
    if request.param == "helm":
        found: Objects = request.getfixturevalue("chart")(workers=[PYTHON])
        return found
    rendered: Objects = request.getfixturevalue("overlay")("python")
    return rendered


def pod_of(objects: Objects) -> Object:
    pod: Object = objects.only("Deployment")["spec"]["template"]
    return pod


# --- every pod ---


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


# --- chart ---


def test_the_chart_is_without_complaint(programs: Path) -> None:
    done = run(programs, "helm", "lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr


def test_three_lines_are_a_pool(chart: Render) -> None:
    objects = chart(workers=[{"name": "php", "image": "php:8-cli", "replicas": 2}])
    deployment = objects.only("Deployment")
    assert deployment["metadata"]["name"] == "attune-agent-worker-php"
    assert deployment["spec"]["replicas"] == 2
    assert container(deployment["spec"]["template"])["image"] == "php:8-cli"


def test_every_key_of_a_pool_arrives(chart: Render) -> None:
    affinity = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
    spread = [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]
    (objects,) = [
        chart(
            workers=[
                PYTHON
                | {
                    "runtimes": ["python", "shell"],
                    "resources": {"limits": {"cpu": 1}},
                    "env": {"HTTP_PROXY": "http://proxy:3128", "WORKERS": 2},
                    "envFrom": [{"secretRef": {"name": "more"}}],
                    "imagePullPolicy": "Always",
                    "imagePullSecrets": [{"name": "registry"}],
                    "logLevel": "debug",
                    "maxConcurrentTasks": 7,
                    "stopGracePeriod": 130,
                    "heartbeatInterval": 5,
                    "labels": {"zone": "a"},
                    "annotations": {"note": "b"},
                    "nodeSelector": {"disk": "fast"},
                    "tolerations": [{"key": "x", "operator": "Exists"}],
                    "affinity": affinity,
                    "topologySpreadConstraints": spread,
                    "runtimeClassName": "gvisor",
                    "priorityClassName": "high",
                    "volumes": [{"name": "models", "emptyDir": {}}],
                    "volumeMounts": [{"name": "models", "mountPath": "/models"}],
                    "strategy": {"type": "Recreate"},
                    "probes": {"liveness": None, "readiness": {"periodSeconds": 30}},
                    "podDisruptionBudget": {"enabled": False},
                }
            ]
        )
    ]
    deployment = objects.only("Deployment")["spec"]
    pod, spec = deployment["template"], deployment["template"]["spec"]
    told = variables(pod)
    one = container(pod)
    assert told["ATTUNE_WORKER_RUNTIMES"] == "python,shell"
    assert (told["HTTP_PROXY"], told["WORKERS"]) == ("http://proxy:3128", "2")
    assert (told["ATTUNE__LOG__LEVEL"], told["ATTUNE__WORKER__MAX_CONCURRENT_TASKS"]) == ("debug", "7")
    assert spec["terminationGracePeriodSeconds"] == 130
    assert (told["ATTUNE_STOP_GRACE_PERIOD"], told["ATTUNE__WORKER__SHUTDOWN_TIMEOUT"]) == ("130", "125")
    assert told["ATTUNE__WORKER__HEARTBEAT_INTERVAL"] == "5"
    assert one["imagePullPolicy"] == "Always"
    assert one["resources"]["limits"] == {"cpu": 1}
    assert one["envFrom"] == [{"secretRef": {"name": "more"}}]
    assert {"name": "models", "mountPath": "/models"} in one["volumeMounts"]
    assert {"name": "models", "emptyDir": {}} in spec["volumes"]
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["metadata"]["labels"]["zone"] == "a"
    assert pod["metadata"]["annotations"]["note"] == "b"
    assert (spec["nodeSelector"], spec["affinity"]) == ({"disk": "fast"}, affinity)
    assert (spec["tolerations"], spec["topologySpreadConstraints"]) == ([{"key": "x", "operator": "Exists"}], spread)
    assert (spec["runtimeClassName"], spec["priorityClassName"]) == ("gvisor", "high")
    assert deployment["strategy"] == {"type": "Recreate"}
    assert "livenessProbe" not in one
    assert one["readinessProbe"]["periodSeconds"] == 30
    assert not objects.of("PodDisruptionBudget")


def test_variables_may_be_a_list_as_in_a_container(chart: Render) -> None:
    listed = [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]
    objects = chart(workers=[PYTHON | {"env": listed}])
    assert variables(pod_of(objects))["NODE"] == {"fieldRef": {"fieldPath": "spec.nodeName"}}


def test_no_pods_is_a_number_of_pods(chart: Render) -> None:
    assert chart(workers=[PYTHON | {"replicas": 0}]).only("Deployment")["spec"]["replicas"] == 0


def test_the_names_of_attunes_own_chart_are_understood(chart: Render) -> None:
    objects = chart(actionWorkers=[{"name": "Full_Pool", "image": "x", "stopGracePeriod": 60}])
    assert objects.only("Deployment")["metadata"]["name"] == "attune-agent-worker-full-pool"


def test_a_changed_configuration_rolls_the_pods(chart: Render) -> None:
    def checksum(**values: Any) -> str:
        text: str = pod_of(chart(workers=[PYTHON], **values))["metadata"]["annotations"]["checksum/configuration"]
        return text

    assert checksum() == checksum()
    assert checksum() != checksum(config={"worker": {"task_timeout": 60}})


def test_the_configuration_file_is_ours_with_what_config_says_over_it(chart: Render) -> None:
    objects = chart(workers=[PYTHON], databaseSchema="other", config={"worker": {"task_timeout": 60}})
    document = yaml.safe_load(objects.only("ConfigMap")["data"]["config.yaml"])
    assert document["database"] == {"schema": "other"}
    assert document["worker"]["task_timeout"] == 60
    assert document["worker"]["ephemeral"] is True


def test_the_database_may_be_the_broker(chart: Render) -> None:
    told = variables(pod_of(chart(workers=[PYTHON], messageQueueUrl="database")))
    assert told["ATTUNE__MESSAGE_QUEUE__URL"] == "database"


def test_openshift_chooses_the_user(chart: Render) -> None:
    nobody = {"runAsUser": None, "runAsGroup": None, "fsGroup": None}
    context = pod_of(chart(workers=[PYTHON], podSecurityContext=nobody))["spec"]["securityContext"]
    assert set(context) == {"runAsNonRoot", "fsGroupChangePolicy", "seccompProfile"}


def test_volumes_may_be_claims(chart: Render) -> None:
    claims = {name: {"existingClaim": f"my-{name.lower()}"} for name in ("packs", "runtimeEnvs", "artifacts")}
    volumes = {one["name"]: one for one in pod_of(chart(workers=[PYTHON], **claims))["spec"]["volumes"]}
    assert volumes["artifacts"]["persistentVolumeClaim"] == {"claimName": "my-artifacts"}
    assert volumes["runtime-envs"]["persistentVolumeClaim"] == {"claimName": "my-runtimeenvs"}
    assert volumes["packs"]["persistentVolumeClaim"] == {"claimName": "my-packs"}


def test_packs_may_come_from_an_image(chart: Render) -> None:
    pod = pod_of(chart(workers=[PYTHON], packs={"image": "registry/packs:1", "path": "/all"}))
    assert container(pod, "copy-packs")["command"] == ["cp", "-R", "/all/.", "/opt/attune/packs/"]


def test_egress_is_what_is_listed(chart: Render) -> None:
    egress = {
        "restricted": True,
        "postgresql": [{"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [{"port": 5432}]}],
        "hosts": [{"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}],
    }
    policy = chart(workers=[PYTHON], networkPolicy={"egress": egress}).only("NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == [
        {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]},
        *egress["postgresql"],  # type: ignore[misc]
        *egress["hosts"],  # type: ignore[misc]
    ]


def test_jobs_migrate_first_and_register_packs_last(chart: Render) -> None:
    objects = chart(
        migrations={"enabled": True}, corePack={"enabled": True}, packs={"existingClaim": "packs"}, workers=[PYTHON]
    )
    jobs = {one["metadata"]["name"]: one for one in objects.of("Job")}
    migrations, packs = jobs["attune-agent-migrations"], jobs["attune-agent-packs"]
    assert migrations["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert packs["metadata"]["annotations"]["helm.sh/hook"] == "post-install,post-upgrade"
    assert container(migrations["spec"]["template"], "migrations")["command"] == ["attune", "db", "migrate"]
    assert "attune pack register" in container(packs["spec"]["template"], "packs")["command"][-1]
    for job in jobs.values():
        spec = job["spec"]["template"]["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
        assert "serviceAccountName" not in spec


def test_with_the_server_its_tables_are_added_to_any_database(chart: Render) -> None:
    objects = chart(migrations={"enabled": True}, server={"enabled": True})
    (command,) = container(objects.only("Job")["spec"]["template"], "migrations")["command"][2:]
    assert command.splitlines() == ["attune db migrate", "attune db migrate --server"]


def test_jobs_are_no_pods_of_a_pool(chart: Render) -> None:
    """A budget or a Service of workers must not choose the pod of a job."""
    objects = chart(migrations={"enabled": True}, workers=[PYTHON])
    labels = objects.only("Job")["spec"]["template"]["metadata"]["labels"]
    for one in (
        objects.only("Deployment")["spec"]["selector"],
        objects.only("PodDisruptionBudget")["spec"]["selector"],
    ):
        assert not one["matchLabels"].items() <= labels.items()


def test_autoscaling_counts_waiting_work_of_the_pools_runtimes(chart: Render) -> None:
    pool = PYTHON | {"autoscaling": {"enabled": True, "maxReplicas": 20, "runtimes": ["Python"]}}
    objects = chart(workers=[pool])
    scaled = objects.only("ScaledObject")["spec"]
    assert scaled["scaleTargetRef"] == {"name": "attune-agent-worker-python"}
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (0, 20)
    (trigger,) = scaled["triggers"]
    assert trigger["type"] == "postgresql"
    assert "'python'" in trigger["metadata"]["query"]
    assert objects.only("TriggerAuthentication")["spec"]["secretTargetRef"] == [
        {"parameter": "connection", "name": "attune", "key": "ATTUNE__DATABASE__URL"}
    ]
    assert "replicas" not in objects.only("Deployment")["spec"]


def test_autoscaling_may_ask_prometheus(chart: Render) -> None:
    asked = {"serverAddress": "http://prometheus:9090", "query": "sum(waiting)"}
    objects = chart(workers=[PYTHON | {"autoscaling": {"enabled": True, "prometheus": asked}}])
    (trigger,) = objects.only("ScaledObject")["spec"]["triggers"]
    assert trigger["metadata"] == {**asked, "threshold": "10"}
    assert not objects.of("TriggerAuthentication")


def test_two_releases_share_nothing(chart: Render) -> None:
    first, second = (chart(release=name, workers=[PYTHON]) for name in ("one", "two"))
    names = [{(one["kind"], one["metadata"]["name"]) for one in objects.all} for objects in (first, second)]
    assert not names[0] & names[1]
    selector = first.only("Deployment")["spec"]["selector"]["matchLabels"]
    assert not selector.items() <= pod_of(second)["metadata"]["labels"].items()


# --- values that are refused ---


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"worker": [PYTHON]}, "worker"),
        ({"workers": [PYTHON | {"replica": 2}]}, "replica"),
        ({"workers": [PYTHON | {"probes": {"live": {}}}]}, "live"),
        ({"workers": [PYTHON | {"probes": {"liveness": {"period": 1}}}]}, "period"),
        ({"workers": [{"name": "python"}]}, "image"),
        ({"workers": [{"image": "python"}]}, "name"),
        ({"workers": [PYTHON | {"name": "a.b"}]}, "name"),
        ({"workers": [PYTHON | {"stopGracePeriod": 10}]}, "stopGracePeriod"),
        ({"workers": [PYTHON | {"stopGracePeriod": "45s"}]}, "stopGracePeriod"),
        ({"workers": [PYTHON | {"maxConcurrentTasks": "many"}]}, "maxConcurrentTasks"),
        ({"workers": [PYTHON | {"logLevel": "loud"}]}, "logLevel"),
        ({"workerDefaults": {"replica": 2}}, "replica"),
        ({"packs": {"claim": "x"}}, "claim"),
        ({"networkPolicy": {"egress": {"restrict": True}}}, "restrict"),
        ({"secret": {"databaseURL": "x"}}, "databaseURL"),
        ({"tmp": {"sizeLimit": "big"}}, "sizeLimit"),
        ({"databaseSchema": "a; drop"}, "databaseSchema"),
        ({"server": {"parts": ["executor"]}}, "parts"),
    ],
)
def test_a_value_that_is_not_one_is_refused_by_its_name(
    refused: Callable[..., str], values: dict[str, Any], named: str
) -> None:
    assert named in refused(**values)


def test_two_pools_of_one_name_are_refused(refused: Callable[..., str]) -> None:
    said = refused(workers=[PYTHON, PYTHON | {"name": "Python"}])
    assert "attune-agent-worker-python" in said
    assert "another name" in said


def test_autoscaling_without_a_runtime_says_what_to_set(refused: Callable[..., str]) -> None:
    assert "autoscaling.runtimes" in refused(workers=[PYTHON | {"autoscaling": {"enabled": True}}])


# --- the server ---


def test_the_server_is_two_replicas_behind_a_service_when_it_is_asked_for(chart: Render) -> None:
    assert not chart(workers=[PYTHON]).of("Service")
    objects = chart(server={"enabled": True, "env": {"ATTUNE__LOG__LEVEL": "debug"}})
    deployment, service = objects.only("Deployment"), objects.only("Service")
    pod = deployment["spec"]["template"]
    one = container(pod, "server")
    assert deployment["spec"]["replicas"] == 2
    assert one["command"][:2] == ["attune", "server"]
    assert one["readinessProbe"]["httpGet"] == {"path": "/health/ready", "port": "http"}
    assert one["livenessProbe"]["httpGet"] == {"path": "/health/live", "port": "http"}
    assert one["securityContext"]["readOnlyRootFilesystem"] is True
    assert variables(pod, "server")["ATTUNE__LOG__LEVEL"] == "debug"
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert not objects.of("Ingress")
    assert not objects.of("ServiceMonitor")
    policy = objects.only("NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    assert not policy.items() <= pod["metadata"]["labels"].items()


def test_the_server_may_leave_a_part_to_others(chart: Render) -> None:
    pod = pod_of(chart(server={"enabled": True, "parts": ["api"]}))
    assert container(pod, "server")["command"][-2:] == ["--only", "api"]
    assert "--only" not in container(pod_of(chart(server={"enabled": True})), "server")["command"]


def test_the_server_may_have_an_ingress_and_be_watched(chart: Render) -> None:
    ingress = {"enabled": True, "host": "attune.example", "className": "nginx", "tls": [{"secretName": "cert"}]}
    objects = chart(server={"enabled": True, "ingress": ingress, "serviceMonitor": {"enabled": True}})
    spec = objects.only("Ingress")["spec"]
    (rule,) = spec["rules"]
    assert (rule["host"], spec["ingressClassName"], spec["tls"]) == (
        "attune.example",
        "nginx",
        [{"secretName": "cert"}],
    )
    assert rule["http"]["paths"][0]["backend"]["service"]["name"] == objects.only("Service")["metadata"]["name"]
    monitor = objects.only("ServiceMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= objects.only("Service")["metadata"]["labels"].items()
    assert monitor["endpoints"] == [{"port": "http", "path": "/metrics", "interval": "15s"}]


def test_an_ingress_without_a_host_says_what_to_set(refused: Callable[..., str]) -> None:
    assert "server.ingress.host" in refused(server={"enabled": True, "ingress": {"enabled": True}})
