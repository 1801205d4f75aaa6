"""The values of the chart: its file of defaults, its schema and the page that explains them name the same keys."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "attune-agent"
PAGE = ROOT / "docs" / "reference" / "helm-values.md"
#: What Kubernetes or the agent defines is one value, whatever it holds by default.
OPAQUE = {
    "podSecurityContext",
    "securityContext",
    "initResources",
    "resources",
    "strategy",
    "startup",
    "readiness",
    "liveness",
}


def values() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    return document


def schema() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    return document


def keys(document: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the path of every value that can be set by itself."""
    for name, value in document.items():
        if isinstance(value, dict) and value and name not in OPAQUE:
            yield from keys(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def of_schema(part: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the paths of a schema that are as deep as those of the defaults."""
    if "$ref" in part:
        part = schema()["definitions"][part["$ref"].rpartition("/")[2]]
    for name, below in part.get("properties", {}).items():
        found = list(of_schema(below, f"{prefix}{name}.")) if name not in OPAQUE else []
        yield from found or [prefix + name]


def split(names: set[str]) -> tuple[set[str], set[str]]:
    """Return the keys of one pool, and all others."""
    start = "workerDefaults."
    return {one.removeprefix(start) for one in names if one.startswith(start)}, {
        one for one in names if not one.startswith((start, "workers", "actionWorkers", "global"))
    }


def test_every_value_is_explained() -> None:
    text = PAGE.read_text(encoding="utf-8")
    pools, rest = text.split("## Everything else")
    of_a_pool, others = split(set(keys(values())))
    assert of_a_pool | {"name", "image"} == described(pools)
    assert others == described(rest)


def described(text: str) -> set[str]:
    """The keys in the first column of a table."""
    cells = re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE)
    return {key for cell in cells for key in re.findall(r"`([^`]+)`", cell)}


def test_the_schema_knows_every_value_and_no_other() -> None:
    of_a_pool, others = split(set(keys(values())))
    pools, rest = split(set(of_schema(schema())))
    query = {f"autoscaling.prometheus.{key}" for key in ("serverAddress", "query")}  # without a default
    assert pools - query | {"autoscaling.prometheus"} == of_a_pool | {"name", "image"}
    assert rest == others
