"""Values, their schema and their page name the same keys."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "deploy" / "helm" / "attune-agent"
PAGE = ROOT / "docs" / "reference" / "helm-values.md"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
#: What a pool needs and no default can say.
REQUIRED = {"name", "image"}


def keys(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted keys of the objects whose keys the schema knows; a list or an open object is one key."""
    while "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
    if "properties" not in schema:
        yield prefix.rstrip(".")
        return
    for name, inner in schema["properties"].items():
        yield from keys(inner, f"{prefix}{name}.")


def valued(values: Any, known: set[str], prefix: str = "") -> Iterator[str]:
    """Dotted keys of values, no deeper than ``known`` keys."""
    if prefix in known or not isinstance(values, dict) or not values:
        yield prefix
        return
    for name, inner in values.items():
        yield from valued(inner, known, f"{prefix}.{name}".lstrip("."))


def documented() -> set[str]:
    cells = re.findall(r"^\| (`[^|]+) \|", PAGE.read_text(), re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


POOL = set(keys(SCHEMA["definitions"]["workerKeys"]))
TOP = {key for key in keys(SCHEMA) if not key.startswith("workerDefaults")} - {"global", "workers", "actionWorkers"}


def test_the_file_has_every_value_that_the_schema_knows_and_no_other() -> None:
    top = {key: value for key, value in VALUES.items() if key not in ("workers", "actionWorkers", "workerDefaults")}
    assert set(valued(top, TOP)) == TOP


def test_the_defaults_of_pools_have_every_key_that_the_schema_knows_and_no_other() -> None:
    given = set(valued(VALUES["workerDefaults"], POOL))
    # A probe may have further times; a query has no default.
    optional = {key for key in POOL if key.startswith(("probes.", "autoscaling.prometheus"))}
    assert given - {"autoscaling.prometheus"} <= POOL
    assert POOL - REQUIRED - optional <= given


def test_the_page_lists_every_value_and_no_other() -> None:
    # One row tells of the times of all probes, one of both words of a query.
    folded = {re.sub(r"^(probes\.\w+|autoscaling\.prometheus)\..*", r"\1", key) for key in POOL}
    assert {name for name in documented() if "." in name or name in folded | TOP} == folded | TOP
