"""What the chart renders of its values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.kubernetes.objects import CHART, container, variables
from tests.kubernetes.rendering import PYTHON, Render, pod_of, run


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
