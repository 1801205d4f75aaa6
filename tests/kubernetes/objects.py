"""What is rendered from the manifests and from the chart, without a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from tests.kubernetes.pools import CHART, MANIFESTS

Object = dict[str, Any]


class Objects:
    """The objects of one rendering."""

    def __init__(self, text: str) -> None:
        """Read a stream of YAML documents; two objects of one kind and name are an error."""
        self.all: list[Object] = [one for one in yaml.safe_load_all(text) if one]
        names = [(one["kind"], one["metadata"]["name"]) for one in self.all]
        assert len(names) == len(set(names)), names

    def of(self, kind: str) -> list[Object]:
        """Return all objects of a kind."""
        return [one for one in self.all if one["kind"] == kind]

    def only(self, kind: str) -> Object:
        """Return the one object of a kind."""
        (one,) = self.of(kind)
        return one

    def pods(self) -> Iterator[Object]:
        """Yield what every Deployment and Job makes its pods of."""
        for one in (*self.of("Deployment"), *self.of("Job")):
            yield one["spec"]["template"]


def container(pod: Object, name: str = "worker") -> Object:
    """Return a container of a pod's template, by name."""
    spec = pod["spec"]
    (one,) = [one for one in (*spec["containers"], *spec.get("initContainers", ())) if one["name"] == name]
    found: Object = one
    return found


def variables(pod: Object, name: str = "worker") -> dict[str, Any]:
    """Return the variables of a container: a text, or where the value comes from."""
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container(pod, name)["env"]}


__all__ = ["CHART", "MANIFESTS", "Object", "Objects", "container", "variables"]
