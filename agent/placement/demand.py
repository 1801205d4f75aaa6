"""What an execution asks of its worker (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Demand:
    """What an execution asks of its worker; ``runtime_names`` is empty when the action has no runtime."""

    runtime_names: tuple[str, ...] = ()
    version_constraint: str | None = None
    required_runtimes: Mapping[str, Any] = field(default_factory=dict)
    selector: Any = None
    tolerations: Any = None
    affinity: Any = None


def demand_of(row: Mapping[str, Any]) -> Demand:
    """Read it from a row that joins an action (and its runtime) with an execution's overrides, each of which counts
    where it is not null."""
    names = (*(row["runtime_aliases"] or ()), row["runtime_name"]) if row["runtime_name"] else ()
    required = row["required_worker_runtimes"]

    def override(name: str) -> Any:
        own = row.get(f"own_{name}")
        return row[f"worker_{name}"] if own is None else own

    return Demand(
        runtime_names=names,
        version_constraint=row["runtime_version_constraint"],
        required_runtimes=required if isinstance(required, dict) else {},
        selector=override("selector"),
        tolerations=override("tolerations"),
        affinity=override("affinity"),
    )
