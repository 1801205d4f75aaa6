"""Sensors that no pack's file describes: made, changed and deleted; the file of one lies in its pack all the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from psycopg.types.json import Jsonb

from agent.db.pool import Connection
from agent.errors import VersionError
from agent.packs.sensor_fields import is_builtin, wrong_config, wrong_program
from agent.rules.saving import wrong_ref
from agent.server.call import Answer, Call, data, deleted, one, rows
from agent.server.problems import Problem
from agent.server.resources.changes import Change, changed
from agent.server.resources.sensors import sensor_of
from agent.server.route import Route
from agent.server.shapes import Label, Limit, Ref, Text
from agent.versions import parse_constraint

_PACKAGE = "agent.rules"
_JSON = ("param_schema", "config", "worker_selector", "worker_tolerations", "worker_affinity")
_CLEARABLE = (
    "param_schema",
    "runtime_version_constraint",
    "log_retention_policy",
    "log_retention_limit",
    "artifact_retention_policy",
    "artifact_retention_limit",
)
Entrypoint = Annotated[str, Meta(min_length=1, max_length=1024)]
Policy = Literal["versions", "days", "hours", "minutes"]
Triggers = Annotated[list[Ref], Meta(max_length=100)]


class NewSensor(Struct):
    """A sensor. ``trigger_refs``, or ``trigger_ref`` for one alone: what it fires; ``config`` is handed to it."""

    ref: Ref
    pack_ref: Ref
    label: Label
    entrypoint: Entrypoint
    runtime_ref: Ref
    trigger_ref: Ref | None = None
    trigger_refs: Triggers = []
    description: Text | None = None
    enabled: bool = True
    param_schema: dict[str, Any] | None = None
    config: dict[str, Any] = {}
    runtime_version_constraint: Text | None = None
    worker_selector: dict[str, str] = {}
    worker_tolerations: list[dict[str, Any]] = []
    worker_affinity: dict[str, Any] = {}
    log_retention_policy: Policy | None = None
    log_retention_limit: Limit | None = None
    artifact_retention_policy: Policy | None = None
    artifact_retention_limit: Limit | None = None


class SensorChange(Struct):
    """What is to be different; ``trigger_refs`` are all triggers that it is to fire."""

    label: Label | None = None
    description: Text | None = None
    entrypoint: Entrypoint | None = None
    runtime_ref: Ref | None = None
    trigger_refs: Triggers | None = None
    enabled: bool | None = None
    config: dict[str, Any] | None = None
    worker_selector: dict[str, str] | None = None
    worker_tolerations: list[dict[str, Any]] | None = None
    worker_affinity: dict[str, Any] | None = None
    param_schema: Change | None = None
    runtime_version_constraint: Change | None = None
    log_retention_policy: Change | None = None
    log_retention_limit: Change | None = None
    artifact_retention_policy: Change | None = None
    artifact_retention_limit: Change | None = None


def create(call: Call) -> Answer:
    """Make a sensor; a sensor worker that fits runs it as soon as an enabled rule listens to one of its triggers."""
    body: NewSensor = call.body
    wrong = wrong_ref(body.ref, body.pack_ref)
    if wrong:
        raise Problem.invalid(f"ref: {wrong}")
    call.caller.require("triggers", "create", {"ref": body.ref, "pack_ref": body.pack_ref})
    values = {name: getattr(body, name) for name in body.__struct_fields__}
    _check(values)
    with call.connection() as connection:
        missing = f"there is no pack {body.pack_ref}"
        pack = one(connection, _PACKAGE, "target_pack", {"ref": body.pack_ref}, missing=missing)
        values |= {"pack": pack["id"], "runtime": _runtime(connection, body.runtime_ref)}
        made = one(connection, _PACKAGE, "create_sensor", _encoded(values))
        fires = [*body.trigger_refs, *([body.trigger_ref] if body.trigger_ref else [])]
        _link(call, connection, made["id"], body.ref, fires)
        found = sensor_of(call, connection, body.ref)
    return data(found, message="Sensor created successfully", status=201, Location=f"/api/v1/sensors/{body.ref}")


def update(call: Call) -> Answer:
    """Change a sensor: where it runs, it is started again with what is new."""
    body: SensorChange = call.body
    with call.connection() as connection:
        before = sensor_of(call, connection)
        call.caller.require("triggers", "update", {"ref": before["ref"], "pack_ref": before["pack_ref"]})
        given = {name: getattr(body, name) for name in body.__struct_fields__}
        changes = {name: changed(change) for name in _CLEARABLE if (change := given.pop(name)) is not None}
        values = before | {name: value for name, value in given.items() if value is not None} | changes
        _check(values)
        values["runtime"] = _runtime(connection, values["runtime_ref"])
        rows(connection, _PACKAGE, "update_sensor", _encoded(values))
        if body.trigger_refs is not None:
            _link(call, connection, before["id"], before["ref"], body.trigger_refs)
        return data(sensor_of(call, connection), message="Sensor updated successfully")


def delete(call: Call) -> Answer:
    """Delete a sensor: its processes end, its triggers stay and are fired by nobody."""
    with call.connection() as connection:
        before = sensor_of(call, connection)
        call.caller.require("triggers", "delete", {"ref": before["ref"], "pack_ref": before["pack_ref"]})
        rows(connection, _PACKAGE, "delete_api_sensor", {"id": before["id"]})
    return deleted(f"Sensor '{before['ref']}' deleted successfully")


def _check(values: Mapping[str, Any]) -> None:
    """Refuse what no sensor worker could run, before it is stored. Raises Problem."""
    entrypoint, constraint = values["entrypoint"], values["runtime_version_constraint"]
    path = PurePosixPath(entrypoint)
    if is_builtin(values["runtime_ref"]):
        wrong = wrong_program(entrypoint)
    elif path.is_absolute() or ".." in path.parts or not entrypoint.isprintable() or "://" in entrypoint:
        wrong = "must be the path of a file below the pack's folder sensors"
    else:
        wrong = None
    if wrong:
        raise Problem.invalid(f"entrypoint: {wrong}")
    if wrong := wrong_config(values["config"]):
        raise Problem.invalid(f"config: {wrong}")
    if constraint is not None:
        if not isinstance(constraint, str):
            raise Problem.invalid("runtime_version_constraint must be a text")
        try:
            parse_constraint(constraint)
        except VersionError as error:
            raise Problem.invalid(f"runtime_version_constraint: {error}") from None
    if not isinstance(values["param_schema"], dict | None):
        raise Problem.invalid("param_schema must be an object")
    for kind in ("log", "artifact"):
        policy, limit = values[f"{kind}_retention_policy"], values[f"{kind}_retention_limit"]
        if policy is not None and policy not in ("versions", "days", "hours", "minutes"):
            raise Problem.invalid(f"{kind}_retention_policy must be versions, days, hours or minutes")
        if limit is not None and not (isinstance(limit, int) and not isinstance(limit, bool) and 0 < limit < 2**31):
            raise Problem.invalid(f"{kind}_retention_limit must be a whole number from 1 on")


def _runtime(connection: Connection, ref: str) -> int:
    missing = f"there is no runtime {ref}"
    return int(one(connection, "agent.server", "runtime_id", {"ref": ref, "id": None}, missing=missing)["id"])


def _link(call: Call, connection: Connection, sensor: int, ref: str, triggers: list[str]) -> None:
    """Let the sensor fire these triggers and no other. Raises Problem: one is missing, or fired by another."""
    for found in rows(connection, _PACKAGE, "triggers_to_link", {"refs": triggers}):
        if found["id"] is None:
            raise Problem.not_found(f"there is no trigger {found['ref']}")
        call.caller.require("triggers", "update", {"ref": found["ref"], "pack_ref": found["pack_ref"]})
        if found["sensor"] not in (None, sensor):
            raise Problem(409, "CONFLICT", f"the trigger {found['ref']} is fired by the sensor {found['sensor_ref']}")
    values = {"sensor": sensor, "sensor_ref": ref, "refs": triggers}
    rows(connection, _PACKAGE, "unlink_others", values)
    rows(connection, _PACKAGE, "link_refs", values)


def _encoded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {**values, **{name: None if values[name] is None else Jsonb(values[name]) for name in _JSON}}


_ONE = "/api/v1/sensors/{ref}"
ROUTES = (
    Route("POST", "/api/v1/sensors", create, "Make a sensor", needs=("triggers", "create"), body=NewSensor,
          answer=dict, status=201, errors=(404, 409), tag="sensors"),
    Route("PUT", _ONE, update, "Change a sensor", needs=("triggers", "update"), body=SensorChange, answer=dict,
          errors=(404, 409), tag="sensors"),
    Route("DELETE", _ONE, delete, "Delete a sensor", needs=("triggers", "delete"), answer=dict, bare=True,
          errors=(404,), tag="sensors"),
)  # fmt: skip
