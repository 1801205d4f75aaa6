"""Tokens of sensors: exchanged by the sensor itself, or made for a person or a service that may have one."""

from __future__ import annotations

import hmac
import time
from typing import Annotated, Any

from msgspec import Meta, Struct

from agent.access.grants import Grant, sensor_grants
from agent.access.tokens import Claims, mint
from agent.server.call import Answer, Call, data, one
from agent.server.delegation import pass_on_grants
from agent.server.problems import Problem
from agent.server.route import PUBLIC, Route
from agent.server.shapes import Ref

_WHO = frozenset(("access", "sensor"))
_DAY = 86_400
Seconds = Annotated[int, Meta(ge=3600, le=3 * _DAY)]


class SensorTokenBody(Struct):
    """For which sensor; without ``trigger_types`` all that it fires."""

    sensor_ref: Ref
    trigger_types: Annotated[list[Ref], Meta(max_length=1000)] | None = None
    ttl_seconds: Seconds = _DAY


def exchange(call: Call) -> Answer:
    """Give a sensor another token for what its present one is for, as far as the sensor still fires that.

    A person gets a token to try the sensor named in the body, if all that it opens is open to that person too.
    """
    claims = call.caller.claims
    assert claims is not None, "the route asks for a token"
    body: SensorTokenBody | None = call.body
    if call.caller.kind == "sensor":
        if body is not None and body.sensor_ref != claims.login:
            raise Problem(403, "FORBIDDEN", f"this token is the sensor {claims.login}'s")
        return _token(call, SensorTokenBody(claims.login, call.caller.trigger_types))
    if body is None:
        raise Problem.invalid("body: sensor_ref is missing")
    sending = (Grant("events", frozenset(("create",))), Grant("rules", frozenset(("read",))))
    pass_on_grants(call, (*sending, *sensor_grants(body.sensor_ref)))
    return _token(call, body)


def create(call: Call) -> Answer:
    """Make a token for a sensor; the bootstrap token proves that one may have it."""
    expected = call.settings.agent.bootstrap_token
    if not expected:
        raise Problem(503, "SERVICE_UNAVAILABLE", "agent.bootstrap_token is not set: no sensor gets a token here")
    shown = call.headers.get("x-agent-token", "")
    if not hmac.compare_digest(shown.encode(), expected.encode()):
        raise Problem.unauthorized("Invalid token" if shown else "Token required")
    return _token(call, call.body)


def _token(call: Call, body: SensorTokenBody) -> Answer:
    with call.connection() as connection:
        missing = f"there is no sensor {body.sensor_ref}"
        sensor = one(connection, "agent.rules", "sensor", {"ref": body.sensor_ref}, missing=missing)
        fires: list[Any] = sensor["trigger_refs"]
        wanted = fires if body.trigger_types is None else [ref for ref in body.trigger_types if ref in fires]
        all_of_them = body.trigger_types is None or len(wanted) == len(body.trigger_types)
        if not wanted or not (all_of_them or call.caller.kind == "sensor"):
            raise Problem(403, "FORBIDDEN", f"the sensor {body.sensor_ref} fires {', '.join(fires) or 'no trigger'}")
        identity = one(connection, "agent.rules", "sensor_identity", {"login": f"sensor:{body.sensor_ref}"})
    if identity["frozen"]:
        raise Problem(403, "FORBIDDEN", "this account is frozen")
    now = call.services.clock.now()
    metadata = {"trigger_types": wanted}
    claims = Claims(str(identity["id"]), body.sensor_ref, "sensor", now + body.ttl_seconds, "sensor", metadata)
    return data(
        {
            "identity_id": identity["id"],
            "sensor_ref": body.sensor_ref,
            "token": mint(claims, secret=call.services.secret, now=now),
            "expires_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + body.ttl_seconds)),
            "trigger_types": wanted,
        }
    )


ROUTES = (
    *(
        Route(
            "POST",
            path,
            exchange,
            "Exchange a sensor's token, or get one to try a sensor",
            _WHO,
            body=SensorTokenBody,
            body_optional=True,
            answer=dict,
            errors=(404,),
            tag="auth",
        )
        for path in ("/auth/sensor-token", "/api/v1/auth/sensor-token")
    ),
    Route(
        "POST",
        "/auth/internal/sensor-token",
        create,
        "A token for a sensor; the header X-Agent-Token proves that one may have it",
        PUBLIC,
        body=SensorTokenBody,
        answer=dict,
        errors=(401, 403, 404, 503),
        tag="auth",
    ),
)
