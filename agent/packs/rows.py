"""From the values of a pack to the parameters of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.types.json import Jsonb

from agent.packs.model import (
    Manifest,
    PackAction,
    PackRule,
    PermissionSet,
    Retention,
    Sensor,
    Trigger,
    WorkerRequirements,
)
from agent.runtimes.definition import RuntimeDefinition, VersionDefinition


def pack_row(manifest: Manifest) -> dict[str, Any]:
    """Return the parameters of ``upsert_pack`` that the manifest knows."""
    return {
        "ref": manifest.ref,
        "label": manifest.label,
        "description": manifest.description,
        "version": manifest.version,
        "conf_schema": Jsonb(manifest.conf_schema),
        "config": Jsonb(manifest.config),
        "meta": Jsonb(manifest.meta),
        "tags": list(manifest.tags),
        "runtime_deps": list(manifest.runtime_deps),
        "dependencies": list(manifest.dependencies),
        "is_standard": manifest.is_standard,
    }


def runtime_row(runtime: RuntimeDefinition) -> dict[str, Any]:
    """Return the parameters of ``upsert_runtime`` that the file knows."""
    return {
        "ref": runtime.ref,
        "description": runtime.description,
        "name": runtime.name,
        "aliases": list(runtime.aliases),
        "distributions": Jsonb(runtime.distributions),
        "installation": _json(runtime.installation),
        "execution_config": Jsonb(runtime.execution_config),
    }


def version_row(version: VersionDefinition) -> dict[str, Any]:
    """Return the parameters of ``upsert_version`` that the file knows."""
    return {
        "version": version.version,
        "major": version.major,
        "minor": version.minor,
        "patch": version.patch,
        "execution_config": Jsonb(version.execution_config),
        "distributions": Jsonb(version.distributions),
        "is_default": version.is_default,
        "meta": Jsonb(version.meta),
    }


def trigger_row(trigger: Trigger) -> dict[str, Any]:
    """Return the parameters of ``upsert_trigger`` that the file knows."""
    return {
        "ref": trigger.ref,
        "label": trigger.label,
        "description": trigger.description,
        "enabled": trigger.enabled,
        "param_schema": _json(trigger.param_schema),
        "out_schema": _json(trigger.out_schema),
    }


def rule_row(rule: PackRule) -> dict[str, Any]:
    """Return the parameters of ``upsert_rule`` that the file knows."""
    return {
        "ref": rule.ref,
        "label": rule.label,
        "description": rule.description,
        "trigger_ref": rule.trigger,
        "action_ref": rule.action,
        "conditions": Jsonb(rule.conditions),
        "action_params": Jsonb(rule.action_params),
        "trigger_params": Jsonb(rule.trigger_params),
        "permission_set_refs": None if rule.permission_set_refs is None else list(rule.permission_set_refs),
        "enabled": rule.enabled,
    }


def permission_set_row(found: PermissionSet) -> dict[str, Any]:
    """Return the parameters of ``upsert_permission_set`` that the file knows."""
    return {
        "ref": found.ref,
        "label": found.label,
        "description": found.description,
        "grants": Jsonb([dict(grant) for grant in found.grants]),
    }


def action_row(action: PackAction) -> dict[str, Any]:
    """Return the parameters of ``upsert_action`` that the file knows."""
    return {
        "ref": action.ref,
        "label": action.label,
        "description": action.description,
        "entrypoint": action.entrypoint,
        "param_schema": _json(action.param_schema),
        "out_schema": _json(action.out_schema),
        "parameter_delivery": action.parameter_delivery,
        "parameter_format": action.parameter_format,
        "output_format": action.output_format,
        "timeout_seconds": action.timeout_seconds,
        "max_retries": action.max_retries,
        "runtime_version_constraint": action.runtime_version_constraint,
        "accesses_mcp": action.accesses_mcp,
        "permission_set_refs": list(action.permission_set_refs),
        "required_worker_runtimes": Jsonb(action.required_worker_runtimes),
        **_placement(action.placement),
        **_retention(action.retention),
    }


def sensor_row(sensor: Sensor) -> dict[str, Any]:
    """Return the parameters of ``upsert_sensor`` that the file knows."""
    return {
        "ref": sensor.ref,
        "label": sensor.label,
        "description": sensor.description,
        "entrypoint": sensor.entrypoint,
        "enabled": sensor.enabled,
        "param_schema": _json(sensor.param_schema),
        "config": _json(sensor.config),
        "runtime_version_constraint": sensor.runtime_version_constraint,
        **_placement(sensor.placement),
        **_retention(sensor.retention),
    }


def _placement(placement: WorkerRequirements) -> dict[str, Any]:
    return {
        "worker_selector": Jsonb(placement.selector),
        "worker_tolerations": Jsonb(list(placement.tolerations)),
        "worker_affinity": Jsonb(placement.affinity),
    }


def _retention(retention: Retention) -> dict[str, Any]:
    return {
        "log_policy": retention.log_policy,
        "log_limit": retention.log_limit,
        "artifact_policy": retention.artifact_policy,
        "artifact_limit": retention.artifact_limit,
    }


def _json(value: Mapping[str, Any] | Sequence[Any] | None) -> Jsonb | None:
    """Return JSON, or SQL's NULL where there is nothing: JSON's null is something else."""
    return None if value is None else Jsonb(value)
