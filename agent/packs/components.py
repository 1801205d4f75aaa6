"""Reads one action, sensor or trigger: from the keys of its file to its value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.formats import DELIVERIES, OUTPUT_FORMATS, PARAMETER_FORMATS
from agent.packs.constraints import read_constraint, read_required_runtimes
from agent.packs.mapping_reader import MappingReader
from agent.packs.model import PackAction, Sensor, Trigger
from agent.packs.parameter_schemas import read_schema
from agent.packs.requirements import read_requirements, read_retention
from agent.packs.scope import Scope
from agent.packs.sensor_fields import wrong_config

# For people and for other services; nothing here reads them.
_FOR_PEOPLE = ("name", "tags", "meta", "examples", "notes", "documentation")


def read_action(fields: MappingReader, scope: Scope) -> PackAction | str:
    """Read a file of ``actions/``; of a workflow, which this program doesn't register, only the ref."""
    ref = scope.component_ref(fields)
    if fields.has("workflow_file"):
        fields.warn("workflow_file", "workflows are not registered by this command; the action is left as it is")
        return ref
    runner = scope.runner(fields)
    entrypoint = scope.entrypoint(fields, runner, "actions")
    fields.ignore(*_FOR_PEOPLE, "enabled", "pack_ref", "reference_visibility", "reference_allowed_pack_refs")
    action = PackAction(
        ref=ref,
        label=_label(fields, ref),
        runner_type=runner,
        entrypoint=entrypoint,
        source=fields.document.file,
        runner_line=fields.line("runner_type"),
        description=fields.text("description"),
        param_schema=read_schema(fields, "parameters", "param_schema"),
        out_schema=read_schema(fields, "output", "output_schema", "out_schema"),
        parameter_delivery=fields.choice("parameter_delivery", DELIVERIES) or "stdin",
        parameter_format=fields.choice("parameter_format", PARAMETER_FORMATS) or "json",
        output_format=fields.choice("output_format", OUTPUT_FORMATS) or "text",
        timeout_seconds=fields.number("timeout_seconds", "timeout", least=1),
        max_retries=fields.number("max_retries", least=0) or 0,
        retry_abandoned=fields.flag("retry_abandoned"),
        runtime_version_constraint=read_constraint(fields),
        required_worker_runtimes=read_required_runtimes(fields),
        accesses_mcp=fields.flag("accesses_mcp"),
        permission_set_refs=fields.texts("default_execution_permission_set_refs"),
        placement=read_requirements(fields),
        retention=read_retention(fields),
    )
    fields.finish()
    return action


def read_sensor(fields: MappingReader, scope: Scope) -> Sensor:
    """Read a file of ``sensors/``; a sensor without ``runner_type`` is a program of its own."""
    ref = scope.component_ref(fields)
    runner = scope.runner(fields, default="native")
    entrypoint = scope.entrypoint(fields, runner, "sensors")
    fields.ignore(*_FOR_PEOPLE, "poll_interval", "pack_ref")
    sensor = Sensor(
        ref=ref,
        label=_label(fields, ref),
        runner_type=runner,
        entrypoint=entrypoint,
        source=fields.document.file,
        runner_line=fields.line("runner_type"),
        description=fields.text("description"),
        enabled=fields.flag("enabled", default=True),
        param_schema=read_schema(fields, "parameters", "param_schema"),
        config=_sensor_config(fields),
        triggers=fields.texts("trigger_types", "triggers"),
        runtime_version_constraint=read_constraint(fields),
        placement=read_requirements(fields),
        retention=read_retention(fields),
    )
    fields.finish()
    return sensor


def read_trigger(fields: MappingReader, scope: Scope) -> Trigger:
    """Read a file of ``triggers/``."""
    ref = scope.component_ref(fields)
    fields.ignore(*_FOR_PEOPLE, "type", "pack_ref", "reference_visibility", "reference_allowed_pack_refs")
    trigger = Trigger(
        ref=ref,
        label=_label(fields, ref),
        source=fields.document.file,
        description=fields.text("description"),
        enabled=fields.flag("enabled", default=True),
        param_schema=read_schema(fields, "parameters", "parameters_schema", "param_schema"),
        out_schema=read_schema(fields, "output", "payload_schema", "out_schema"),
    )
    fields.finish()
    return trigger


def _sensor_config(fields: MappingReader) -> Mapping[str, Any] | None:
    config = fields.mapping("config")
    wrong = wrong_config(config)
    if wrong:
        fields.complain("config", wrong)
    return config


def _label(fields: MappingReader, ref: str) -> str:
    """Return the label; without one the name, without that the last part of the ref in words."""
    label = fields.text("label") or fields.text("name")
    return label or ref.rpartition(".")[2].replace("_", " ").capitalize()
