"""Webhooks: switched on and off for a trigger, and received from anybody who can show that he knows the secret."""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from psycopg.types.json import Jsonb

from agent.mq.outgoing_messages import event_created
from agent.rules.new_event import NewEvent, write_event
from agent.rules.signatures import Unverified, verify
from agent.rules.webhook_settings import WebhookSettings, new_secret, read_settings, with_secret
from agent.server.call import Answer, Call, data, one, rows
from agent.server.problems import Problem
from agent.server.resources.triggers import may_change, shown, trigger_of
from agent.server.route import PUBLIC, Route
from agent.server.strict_json import BadJson, read_json

_PACKAGE = "agent.rules"
_PRIVATE = ("auth", "cookie", "signature", "token", "secret", "key", "password")
_Count = Annotated[int, Meta(ge=1, le=1_000_000)]


class Rate(Struct):
    """How many requests one address may send."""

    requests: _Count
    window_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 60


class WebhookBody(Struct):
    """How requests are verified; what is left out stays as it is, or is the default.

    ``scheme``: ``hmac`` (GitHub's), ``standard`` (Standard Webhooks), ``stripe``, ``token`` (a header holds the secret)
    or ``none``. Without ``secret`` one is made, and shown this once. ``once``: the same signed request again is the
    same event, for a day.
    """

    scheme: Literal["hmac", "standard", "stripe", "token", "none"] | None = None
    secret: Annotated[str, Meta(min_length=16, max_length=256)] | None = None
    algorithm: Literal["sha256", "sha512", "sha1"] | None = None
    token_header: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,60}$(?!\n)")] | None = None
    allowed_addresses: Annotated[list[str], Meta(max_length=100)] | None = None
    rate_limit: Rate | None = None
    payload_size_limit_kb: Annotated[int, Meta(ge=1, le=10_240)] | None = None
    once: bool | None = None


def enable(call: Call) -> Answer:
    """Switch a trigger's webhook on, or change how it verifies; what was set before stays."""
    body: WebhookBody = call.body or WebhookBody()
    with call.connection() as connection:
        trigger = may_change(call, connection)
        config = one(connection, _PACKAGE, "webhook_config", {"ref": trigger["ref"]})["webhook_config"] or {}
        before = read_settings(config, _keys(call), now=time.time())
        config, made = _changed(call, config, before, body)
        key = trigger["webhook_key"] or f"wh_{secrets.token_hex(16)}"
        values = {"ref": trigger["ref"], "enabled": True, "key": key, "config": Jsonb(config)}
        rows(connection, _PACKAGE, "set_webhook", values)
        found = shown(call, trigger_of(call, connection))
    return data(found | {"webhook_url": f"/api/v1/webhooks/{key}"} | ({"webhook_secret": made} if made else {}))


def disable(call: Call) -> Answer:
    """Switch a trigger's webhook off; its key is gone, how it verifies is kept."""
    with call.connection() as connection:
        trigger = may_change(call, connection)
        values = {"ref": trigger["ref"], "enabled": False, "key": None, "config": None}
        rows(connection, _PACKAGE, "set_webhook", values)
        return data(shown(call, trigger_of(call, connection)))


def regenerate(call: Call) -> Answer:
    """Give a trigger's webhook another key."""
    with call.connection() as connection:
        trigger = may_change(call, connection)
        if not trigger["webhook_enabled"]:
            raise Problem.bad(f"the webhook of {trigger['ref']} is off")
        values = {"ref": trigger["ref"], "enabled": True, "key": f"wh_{secrets.token_hex(16)}", "config": None}
        rows(connection, _PACKAGE, "set_webhook", values)
        return data(shown(call, trigger_of(call, connection)))


def admit(call: Call) -> int:
    """Look at who sends before a byte of the body is read; return how many bytes there may be. Raises Problem."""
    with call.connection() as connection:
        found = _webhook(call, connection)
        settings = read_settings(found["webhook_config"], _keys(call), now=time.time())
        address = call.caller.address
        refused: Problem | None = None
        values = {"trigger": found["id"], "key": call.path["key"], "address": address}
        window = {"requests": settings.requests, "seconds": settings.per_seconds}
        rate = one(connection, _PACKAGE, "webhook_rate", values | window)
        if rate["over"]:
            refused = Problem(
                429, "TOO_MANY_REQUESTS", "too many requests", headers={"Retry-After": str(settings.per_seconds)}
            )
        elif settings.problem is not None:
            refused = Problem(403, "FORBIDDEN", "this webhook accepts nothing: " + settings.problem)
        elif not settings.allows(address):
            refused = Problem(403, "FORBIDDEN", "this address may not send to this webhook")
        # Of a flood one refusal is kept in each window: it must not fill the table.
        if refused is not None and not (rate["over"] and rate["told"]):
            _log(call, connection, found, refused.status, refused.message, time.monotonic())
        length = call.headers.get("content-length", "")
        if refused is None and length.isdigit() and (len(length) > 18 or int(length) > settings.most_bytes):
            refused = Problem(413, "BAD_REQUEST", f"the body is larger than {settings.most_bytes} bytes", plain=True)
            _log(call, connection, found, 413, refused.message, time.monotonic())
    if refused is not None:
        raise refused
    return settings.most_bytes


def receive(call: Call) -> Answer:
    """Accept a request as an event, once."""
    begin = time.monotonic()
    with call.connection() as connection:
        found = _webhook(call, connection)
        settings = read_settings(found["webhook_config"], _keys(call), now=time.time())
        problem, why, event = None, None, None
        try:
            verified = verify(
                settings.scheme,
                settings.secrets,
                call.headers,
                call.raw,
                now=time.time(),
                algorithm=settings.algorithm,
                token_header=settings.token_header,
            )
            payload = _payload(read_json(call.raw))
        except Unverified as error:
            problem, why = Problem(401, "UNAUTHORIZED", "the request could not be verified"), str(error)
        except BadJson as error:
            problem, why = Problem.bad(str(error)), str(error)
        else:
            delivery = verified.delivery if settings.once else ""
            event = _accept(call, connection, found, payload, delivery, verified=settings.scheme != "none")
        _log(call, connection, found, 200 if problem is None else problem.status, why, begin, event, settings)
    if problem is not None or event is None:
        raise problem or Problem(409, "CONFLICT", "the event of this delivery was deleted")
    if call.services.rules is not None:
        call.services.rules.wake()
    answer = {
        "event_id": event,
        "trigger_ref": found["ref"],
        "received_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "message": "Webhook received successfully",
    }
    return data(answer)


def _accept(
    call: Call, connection: Any, found: Mapping[str, Any], payload: Any, delivery: str, *, verified: bool
) -> int | None:
    """Write the event; of the same delivery again, return the one that there is."""
    if delivery:
        claim = {"trigger": found["id"], "delivery": delivery}
        if not rows(connection, _PACKAGE, "claim_delivery", claim):
            known = one(connection, _PACKAGE, "known_delivery", claim, missing="the delivery was forgotten meanwhile")
            return None if known["event"] is None else int(known["event"])
    config = {
        "source": "webhook",
        "received_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "headers": _kept(call.headers),
        "source_ip": call.caller.address,
        "user_agent": call.headers.get("user-agent", "")[:500] or None,
        "hmac_verified": verified,
    }
    made = write_event(connection, NewEvent(found["ref"], payload, "webhook", config=config))
    if delivery:
        rows(connection, _PACKAGE, "name_delivery", claim | {"event": made.id})
    if not call.services.outbox.in_database:
        message = event_created(
            made.id, found["id"], found["ref"], payload, at=made.created, source="api-webhook-receiver"
        )
        call.services.outbox.add(connection, [message])
    return made.id


def _payload(value: Any) -> Any:
    """Return what is in the form ``{"payload": ..., "headers"?}``, of any other JSON all of it."""
    if isinstance(value, dict) and "payload" in value and set(value) <= {"payload", "headers"}:
        return value["payload"]
    return value


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers that say what happened; none that prove who says so."""
    kept = {
        name: value[:500]
        for name, value in headers.items()
        if (name.startswith("x-") or name in ("content-type", "user-agent", "webhook-id"))
        and not any(word in name for word in _PRIVATE)
        and not any(c == "\x00" or "\ud800" <= c <= "\udfff" for c in value)
    }
    return dict(list(kept.items())[:50])


def _log(
    call: Call,
    connection: Any,
    found: Mapping[str, Any],
    status: int,
    why: str | None,
    begin: float,
    event: int | None = None,
    settings: WebhookSettings | None = None,
) -> None:
    values = {
        "trigger": found["id"],
        "trigger_ref": found["ref"],
        "key": call.path["key"],
        "event": event,
        "address": call.caller.address[:100],
        "agent": call.headers.get("user-agent", "")[:500].replace("\x00", ""),
        "size": len(call.raw),
        "headers": Jsonb(_kept(call.headers)),
        "status": status,
        "error": why,
        "milliseconds": int((time.monotonic() - begin) * 1000),
        "verified": None if settings is None or settings.scheme == "none" else status == 200,
        "limited": status == 429,
        "allowed": status != 403,
    }
    rows(connection, _PACKAGE, "log_webhook", values)


def _webhook(call: Call, connection: Any) -> dict[str, Any]:
    return one(connection, _PACKAGE, "webhook", {"key": call.path["key"]}, missing="there is no such webhook")


def _changed(
    call: Call, config: dict[str, Any], before: WebhookSettings, body: WebhookBody
) -> tuple[dict[str, Any], str | None]:
    """Return the column as it will be, and the secret that was made, if one was."""
    if body.scheme is not None or "scheme" not in config:
        config = config | {"scheme": body.scheme or before.scheme}
    for name in ("algorithm", "token_header", "payload_size_limit_kb", "once"):
        if getattr(body, name) is not None:
            config = config | {name: getattr(body, name)}
    if body.allowed_addresses is not None:
        for address in body.allowed_addresses:
            _check_network(address)
        config = config | {
            "ip_whitelist": {"enabled": bool(body.allowed_addresses), "ips": list(body.allowed_addresses)}
        }
    if body.rate_limit is not None:
        rate = {"requests": body.rate_limit.requests, "window_seconds": body.rate_limit.window_seconds}
        config = config | {"rate_limit": {"enabled": True, **rate}}
    made = None
    if body.secret is None and config["scheme"] != "none" and not before.secrets:
        made = new_secret()
    secret = body.secret or made
    return (with_secret(config, secret, _keys(call)[0]) if secret else config), made


def _check_network(address: str) -> None:
    try:
        ipaddress.ip_network(address, strict=False)
    except ValueError:
        raise Problem.invalid(f"allowed_addresses: {address!r:.60} is neither an address nor a network") from None


def _keys(call: Call) -> tuple[str, ...]:
    """Return the keys that secrets are encrypted with; without one of the operator's, the server's own."""
    return (*call.settings.security.decryption_keys, hashlib.sha256(call.services.secret.encode()).hexdigest())


_ONE = "/api/v1/triggers/{ref}/webhooks"
ROUTES = (
    Route(
        "POST",
        f"{_ONE}/enable",
        enable,
        "Switch a trigger's webhook on, or change it",
        needs=("triggers", "update"),
        body=WebhookBody,
        body_optional=True,
        answer=dict,
        errors=(404,),
        tag="webhooks",
    ),
    Route(
        "POST",
        f"{_ONE}/disable",
        disable,
        "Switch a trigger's webhook off",
        needs=("triggers", "update"),
        answer=dict,
        errors=(404,),
        tag="webhooks",
    ),
    Route(
        "POST",
        f"{_ONE}/regenerate",
        regenerate,
        "Give a trigger's webhook another key",
        needs=("triggers", "update"),
        answer=dict,
        errors=(404,),
        tag="webhooks",
    ),
    Route(
        "POST",
        "/api/v1/webhooks/{key}",
        receive,
        "Send to a webhook",
        PUBLIC,
        raw_limit=admit,
        answer=dict,
        errors=(401, 403, 404, 409, 413, 429),
        tag="webhooks",
    ),
)
