"""Sensors: the programs that notice; which run where, and in what state."""

from __future__ import annotations

from typing import Any

from agent.db.pool import Connection
from agent.server.call import Answer, Call, counted_page, data, one, rows
from agent.server.route import Route
from agent.server.shapes import Paging

_PACKAGE = "agent.rules"


class SensorsQuery(Paging, kw_only=True):
    """Which sensors."""

    enabled: bool | None = None


def list_all(call: Call) -> Answer:
    """List sensors by ref."""
    filters = {"pack_ref": call.path.get("pack_ref"), "trigger_ref": call.path.get("trigger_ref")}
    values = filters | {"enabled": call.query.enabled} | call.query.window()
    with call.connection() as connection:
        found = rows(connection, _PACKAGE, "list_sensors", values)
        total = one(connection, _PACKAGE, "count_sensors", values)["total"]
    return counted_page(call, found, total)


def list_enabled(call: Call) -> Answer:
    """List the sensors that are on."""
    call.query.enabled = True
    return list_all(call)


def show(call: Call) -> Answer:
    """Show a sensor, and its processes."""
    with call.connection() as connection:
        return data(sensor_of(call, connection))


def sensor_of(call: Call, connection: Connection, ref: str | None = None) -> dict[str, Any]:
    """Return the sensor that the path names, or ``ref``, with its triggers and processes. Raises Problem."""
    named = ref or call.path["ref"]
    return one(connection, _PACKAGE, "sensor", {"ref": named}, missing=f"there is no sensor {named}")


def enable(call: Call) -> Answer:
    """Switch a sensor on."""
    return _switch(call, on=True)


def disable(call: Call) -> Answer:
    """Switch a sensor off: its processes end."""
    return _switch(call, on=False)


def _switch(call: Call, *, on: bool) -> Answer:
    with call.connection() as connection:
        before = sensor_of(call, connection)
        call.caller.require("triggers", "update", {"ref": before["ref"], "pack_ref": before["pack_ref"]})
        rows(connection, _PACKAGE, "switch_sensor", {"ref": before["ref"], "enabled": on})
        found = sensor_of(call, connection)
    return data(found, message=f"Sensor {'enabled' if on else 'disabled'} successfully")


_READ = ("triggers", "read")
_ONE = "/api/v1/sensors/{ref}"


def _listing(path: str, handler: Any, summary: str) -> Route:
    return Route(
        "GET", path, handler, summary, needs=_READ, query=SensorsQuery, listed=True, answer=dict, tag="sensors"
    )


def _change(path: str, handler: Any, summary: str) -> Route:
    return Route(
        "POST", path, handler, summary, needs=("triggers", "update"), answer=dict, errors=(404,), tag="sensors"
    )


ROUTES = (
    _listing("/api/v1/sensors", list_all, "List sensors"),
    _listing("/api/v1/sensors/enabled", list_enabled, "List sensors that are on"),
    _listing("/api/v1/packs/{pack_ref}/sensors", list_all, "List a pack's sensors"),
    _listing("/api/v1/triggers/{trigger_ref}/sensors", list_all, "List a trigger's sensor"),
    Route("GET", _ONE, show, "Show a sensor", needs=_READ, answer=dict, errors=(404,), tag="sensors"),
    _change(f"{_ONE}/enable", enable, "Switch a sensor on"),
    _change(f"{_ONE}/disable", disable, "Switch a sensor off"),
)
