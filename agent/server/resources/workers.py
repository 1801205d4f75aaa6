"""Workers: who is there, what they offer, and taking them out of use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from agent.control import workers as control
from agent.liveness import DEAD_AFTER
from agent.runtimes.names import normalize_runtime_name
from agent.server.call import Answer, Call, data, deleted, one, page, rows
from agent.server.route import Route
from agent.server.shapes import Paging, Text

_PACKAGE = "agent.server"


class WorkersQuery(Paging, kw_only=True):
    """Which workers."""

    role: Literal["action", "sensor"] | None = None
    status: Literal["active", "inactive", "busy", "error"] | None = None
    cordoned: bool | None = None
    health_state: Literal["active", "busy", "cordoned", "offline", "error", "inactive"] | None = None


class ReasonBody(Struct):
    """Why."""

    reason: Text | None = None


def list_all(call: Call) -> Answer:
    """List workers by name."""
    query: WorkersQuery = call.query
    with call.connection() as connection:
        values = {"id": None, "role": query.role, "cordoned": query.cordoned}
        found = [_shown(row) for row in rows(connection, _PACKAGE, "list_workers", values)]
    found = [one for one in found if query.status in (None, one["status"])]
    found = [one for one in found if query.health_state in (None, one["health_state"])]
    begin = (query.page - 1) * query.size
    return page(found[begin : begin + query.size], number=query.page, size=query.page_size, total=len(found))


def show(call: Call) -> Answer:
    """Show one worker."""
    with call.connection() as connection:
        return Answer(_shown(_row(call, connection)))


def capabilities(call: Call) -> Answer:
    """Say what a worker advertises: runtimes with their versions and paths, labels, taints, slots."""
    with call.connection() as connection:
        row = _row(call, connection)
    raw = row["capabilities"] if isinstance(row["capabilities"], dict) else {}
    return data(
        {
            "worker_id": row["id"],
            "name": row["name"],
            "runtimes": runtimes_of(raw),
            "labels": raw.get("labels") or {},
            "taints": raw.get("taints") or [],
            "max_concurrent_executions": raw.get("max_concurrent_executions"),
            "agent_mode": raw.get("agent_mode") is True,
            "raw": raw,
        }
    )


def cordon(call: Call) -> Answer:
    """Give the worker nothing more."""
    reason = call.body.reason if call.body else None
    with call.connection() as connection:
        control.cordon(connection, call.path["id"], reason, by=_person(call))
        return Answer(_shown(_row(call, connection)))


def uncordon(call: Call) -> Answer:
    """Let the worker have work again."""
    with call.connection() as connection:
        control.uncordon(connection, call.path["id"])
        found = Answer(_shown(_row(call, connection)))
    if call.services.dispatcher is not None:
        call.services.dispatcher.wake()
    return found


def drain(call: Call) -> Answer:
    """Cordon the worker and give what it has not begun to others; what runs goes on, and so does the process."""
    reason = call.body.reason if call.body else None
    with call.connection() as connection:
        returned = control.drain(connection, call.path["id"], reason, by=_person(call))
        state = control.worker_state(connection, call.path["id"])
    return data({**state.__dict__, "drained": state.drained, "returned": returned})


def remove(call: Call) -> Answer:
    """Delete a worker that is gone, and its queues."""
    broker = call.services.broker
    with call.connection() as connection:
        control.remove(connection, call.path["id"], lambda queues, unbind: broker.delete(queues, unbind=unbind))
    return deleted(f"worker {call.path['id']} is removed")


def history(call: Call) -> Answer:
    """List the changes of a worker's row, newest first."""
    with call.connection() as connection:
        row = _row(call, connection)
        found = rows(connection, _PACKAGE, "worker_history", {"id": row["id"]} | call.query.window())
    size = call.query.size
    return page(found[:size], number=call.query.page, size=size, more=len(found) > size)


def runtimes_of(raw: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Put what a worker advertises in different places together, by the usual name of each runtime."""
    found: dict[str, dict[str, Any]] = {}

    def entry(name: str) -> dict[str, Any]:
        normal = normalize_runtime_name(name)
        return found.setdefault(normal, {"name": normal, "versions": []})

    for name in raw.get("runtimes") or () if isinstance(raw.get("runtimes"), list) else ():
        entry(str(name))
    table = raw.get("runtime_versions")
    for name, versions in table.items() if isinstance(table, dict) else ():
        entry(name)["versions"] += [str(version) for version in versions] if isinstance(versions, list) else []
    interpreters = raw.get("detected_interpreters")
    for item in interpreters if isinstance(interpreters, list) else ():
        if isinstance(item, dict) and item.get("name"):
            entry(str(item["name"])).setdefault("path", item.get("path"))
    return list(found.values())


def verified_versions(raw: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the worker found out about each version that it checked; malformed parts are nothing."""
    stated = raw.get("runtime_verdicts")
    found = []
    for entry in stated if isinstance(stated, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("ref"), str) and isinstance(entry.get("version"), str):
            name = normalize_runtime_name(entry["ref"].rpartition(".")[2])
            known = {key: _text(entry.get(key)) for key in ("reason", "actual", "at")}
            found.append(
                {"name": name, "ref": entry["ref"], "version": entry["version"], "ok": entry.get("ok") is True, **known}
            )
    return found


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _row(call: Call, connection: Any) -> dict[str, Any]:
    values = {"id": call.path["id"], "role": None, "cordoned": None}
    return one(connection, _PACKAGE, "list_workers", values, missing=f"there is no worker {call.path['id']}")


def _person(call: Call) -> int | None:
    return call.caller.identity_id if call.caller.kind == "access" else None


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    raw = row["capabilities"] if isinstance(row["capabilities"], dict) else {}
    load = _load(row, raw)
    stale = row["heartbeat_age"] is None or row["heartbeat_age"] > DEAD_AFTER
    at_work = load["total_active"] > 0 or load["sensor_processes_running"] > 0 or load["active_rules"] > 0
    status = "busy" if row["status"] == "active" and at_work else row["status"]
    names = ("id", "name", "worker_type", "worker_role", "host", "port")
    cordon_names = ("cordoned", "cordon_reason", "cordoned_by", "cordoned_at")
    age = row["heartbeat_age"]
    return {
        **{name: row[name] for name in names},
        "status": status,
        "last_heartbeat": row["last_heartbeat"],
        "heartbeat_age_seconds": None if age is None else int(age),
        "heartbeat_stale": stale,
        **{name: row[name] for name in cordon_names},
        "health_state": _health(row, status, stale),
        "supported_runtimes": [{"name": one["name"], "versions": one["versions"]} for one in runtimes_of(raw)],
        "verified_versions": verified_versions(raw),
        "labels": raw.get("labels") if isinstance(raw.get("labels"), dict) else {},
        "taints": raw.get("taints") if isinstance(raw.get("taints"), list) else [],
        "agent_version": _text(raw.get("agent_binary_version") or raw.get("worker_version")),
        "load": load,
        "created": row["created"],
        "updated": row["updated"],
    }


def _health(row: Mapping[str, Any], status: str, stale: bool) -> str:
    if row["cordoned"]:
        return "cordoned"
    if row["status"] == "error":
        return "error"
    return "offline" if row["status"] == "inactive" or stale else status


def _load(row: Mapping[str, Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    live = {name: row[name] for name in ("requested", "scheduling", "scheduled", "running", "canceling")}
    total = sum(live.values())
    slots, sensors = raw.get("max_concurrent_executions"), raw.get("max_concurrent_sensors")
    running = _count(raw, "sensor_processes_running")
    share = None
    if isinstance(slots, int) and slots > 0:
        share = round(100 * total / slots)
    elif isinstance(sensors, int) and sensors > 0:
        share = round(100 * running / sensors)
    health = raw.get("health")
    return {
        **live,
        "total_active": total,
        "max_concurrent_executions": slots,
        "utilization_percent": share,
        "queue_depth": health.get("queue_depth") if isinstance(health, dict) else None,
        "sensor_processes_running": running,
        "sensor_processes_monitored": _count(raw, "sensor_processes_monitored"),
        "active_rules": _count(raw, "active_rules"),
        "max_concurrent_sensors": sensors,
    }


def _count(raw: Mapping[str, Any], name: str) -> int:
    value = raw.get(name)
    return value if isinstance(value, int) else 0


_READ, _MANAGE = ("workers", "read"), ("workers", "manage")
_ONE = "/api/v1/workers/{id}"
ROUTES = (
    Route(
        "GET",
        "/api/v1/workers",
        list_all,
        "List workers",
        needs=_READ,
        query=WorkersQuery,
        listed=True,
        answer=dict,
        tag="workers",
    ),
    Route("GET", _ONE, show, "Show a worker", needs=_READ, answer=dict, bare=True, errors=(404,), tag="workers"),
    Route(
        "DELETE",
        _ONE,
        remove,
        "Delete a worker that is gone",
        needs=_MANAGE,
        answer=dict,
        bare=True,
        errors=(404, 409),
        tag="workers",
    ),
    Route(
        "GET",
        f"{_ONE}/capabilities",
        capabilities,
        "What a worker advertises",
        needs=_READ,
        answer=dict,
        errors=(404,),
        tag="workers",
    ),
    Route(
        "POST",
        f"{_ONE}/cordon",
        cordon,
        "Give it nothing more",
        needs=_MANAGE,
        body=ReasonBody,
        body_optional=True,
        answer=dict,
        bare=True,
        errors=(404,),
        tag="workers",
    ),
    Route(
        "POST",
        f"{_ONE}/uncordon",
        uncordon,
        "Let it have work again",
        needs=_MANAGE,
        answer=dict,
        bare=True,
        errors=(404,),
        tag="workers",
    ),
    Route(
        "POST",
        f"{_ONE}/drain",
        drain,
        "Give its unstarted work to others",
        needs=_MANAGE,
        body=ReasonBody,
        body_optional=True,
        answer=dict,
        errors=(404,),
        tag="workers",
    ),
    Route(
        "GET",
        f"{_ONE}/history",
        history,
        "Changes of a worker",
        needs=_READ,
        query=Paging,
        listed=True,
        answer=dict,
        errors=(404,),
        tag="workers",
    ),
)
