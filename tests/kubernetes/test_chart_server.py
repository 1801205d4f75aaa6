"""The server as the chart renders it."""

from __future__ import annotations

from collections.abc import Callable

from tests.kubernetes.objects import container, variables
from tests.kubernetes.rendering import PYTHON, Render, pod_of


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
