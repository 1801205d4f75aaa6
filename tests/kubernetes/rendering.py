"""Fixtures that render the manifests and the chart without a cluster; ``conftest.py`` makes them known."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.objects import CHART, MANIFESTS, Object, Objects

Render = Callable[..., Objects]
#: A pool of three lines.
PYTHON = {"name": "python", "image": "python:3.12-slim", "replicas": 3}


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


def pod_of(objects: Objects) -> Object:
    """What the one Deployment makes its pods of."""
    pod: Object = objects.only("Deployment")["spec"]["template"]
    return pod
