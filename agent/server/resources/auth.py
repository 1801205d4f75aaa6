"""Log in and out, renew, register, and one's own account."""

from __future__ import annotations

import hmac
from typing import Annotated, Any

from msgspec import Meta, Struct

from agent.access.identities import checked, create_identity, find_identity
from agent.access.login import Session
from agent.access.passwords import hash_password, matches
from agent.access.tokens import INTEGRATION_PREFIX, Claims, mint
from agent.db.queries import load_queries
from agent.errors import AccessDenied
from agent.server.call import Answer, Call, data
from agent.server.problems import Problem
from agent.server.route import ACCESS, PUBLIC, Route
from agent.server.shapes import Login, NewLogin, Password

_REFRESH_COOKIE, _ACCESS_COOKIE = "attune_refresh_token", "attune_access_token"


class LoginBody(Struct):
    """Who logs in."""

    login: Login
    password: Annotated[str, Meta(min_length=1)]


class RegisterBody(Struct):
    """A new account."""

    login: NewLogin
    password: Password
    display_name: Annotated[str, Meta(max_length=255)] | None = None


class RefreshBody(Struct):
    """The token to exchange."""

    refresh_token: Annotated[str, Meta(max_length=8192)]


class TokenBody(Struct):
    """An integration token."""

    token: Annotated[str, Meta(max_length=512)]


class ProfileBody(Struct):
    """What one may change of one's own account."""

    display_name: Annotated[str, Meta(max_length=255)] | None = None


class PasswordBody(Struct):
    """The old and the new password."""

    current_password: str
    new_password: Password


class WorkerTokenBody(Struct):
    """Which worker asks for a token."""

    worker_name: Annotated[str, Meta(min_length=1, max_length=255)]


def settings(call: Call) -> Answer:
    """Say how one may log in."""
    local = {
        "authentication_enabled": True,
        "local_password_enabled": True,
        "local_password_visible_by_default": True,
        "self_registration_enabled": call.settings.security.allow_self_registration,
    }
    off = {
        f"{name}_{key}": value
        for name in ("oidc", "ldap")
        for key, value in (("enabled", False), ("visible_by_default", False))
    }
    return data({**local, **off})


def login(call: Call) -> Answer:
    """Log in with a password."""
    body: LoginBody = call.body
    call.caller.tried = body.login
    return _session(call.services.logins.with_password(body.login, body.password, address=call.caller.address))


def register(call: Call) -> Answer:
    """Make an account and log in; it has no permissions."""
    if not call.settings.security.allow_self_registration:
        raise Problem(403, "FORBIDDEN", "accounts are made by an administrator here")
    body: RegisterBody = call.body
    with call.connection() as connection:
        made = create_identity(connection, body.login, password=body.password, display_name=body.display_name)
        identity = find_identity(connection, id=made)
        assert identity is not None, "it was made just now"
        return _session(call.services.logins.start(connection, identity))


def refresh(call: Call) -> Answer:
    """Exchange a refresh token for a new pair; the one in a cookie gives cookies."""
    body: RefreshBody | None = call.body
    if body is not None:
        return _session(call.services.logins.refresh(body.refresh_token))
    cookie = call.cookies.get(_REFRESH_COOKIE)
    if not cookie:
        raise Problem.unauthorized("Missing refresh token")
    renewed = call.services.logins.refresh(cookie)
    answer = _session(renewed)
    answer.cookies = [
        (_ACCESS_COOKIE, renewed.access_token, renewed.expires_in),
        (_REFRESH_COOKIE, renewed.refresh_token, call.settings.security.jwt_refresh_expiration),
    ]
    return answer


def token_login(call: Call) -> Answer:
    """Log in with an integration token."""
    if not call.body.token.startswith(INTEGRATION_PREFIX):
        raise AccessDenied("Invalid or expired integration token")
    return _session(call.services.logins.with_integration_token(call.body.token, address=call.caller.address))


def log_out(call: Call) -> Answer:
    """End everything that came from one log-in."""
    call.services.logins.log_out(call.body.refresh_token)
    return Answer({"success": True, "message": "logged out"})


def me(call: Call) -> Answer:
    """Show one's own account."""
    identity = call.caller.identity
    permissions: dict[str, set[str]] = {}
    for grant in call.caller.grants:
        permissions.setdefault(grant.resource, set()).update(grant.actions)
    local = identity.provider == "local"
    return data(
        {
            "id": identity.id,
            "login": identity.login,
            "display_name": identity.display_name,
            "auth_provider": identity.provider,
            "is_local": local,
            "can_change_password": local and identity.password_hash is not None,
            "effective_permissions": [
                {"resource": resource, "actions": sorted(actions)} for resource, actions in sorted(permissions.items())
            ],
            "assigned_permission_set_refs": call.caller.set_refs,
        }
    )


def change_me(call: Call) -> Answer:
    """Change one's own name."""
    with call.connection() as connection:
        values = {"id": call.caller.identity.id, "display_name": call.body.display_name}
        connection.execute(load_queries("agent.access")["set_display_name"].encode(), values)
    call.caller.forget()
    return me(call)


def change_password(call: Call) -> Answer:
    """Change one's own password; every other log-in of the account ends."""
    identity = call.caller.identity
    if identity.provider != "local" or identity.password_hash is None:
        raise Problem(403, "FORBIDDEN", "the password of this account is kept elsewhere")
    if not matches(call.body.current_password, identity.password_hash):
        raise AccessDenied("the current password is wrong")
    hashed = hash_password(checked(call.body.new_password))
    sql = load_queries("agent.access")
    with call.connection() as connection:
        connection.execute(sql["set_password"].encode(), {"id": identity.id, "hash": hashed})
        connection.execute(sql["revoke_identity"].encode(), {"identity": identity.id})
    return Answer({"success": True, "message": "the password is changed; log in again elsewhere"})


def ldap(call: Call) -> Answer:
    """Say that it is not configured."""
    raise Problem(501, "NOT_IMPLEMENTED", "LDAP is not configured")


def worker_token(call: Call) -> Answer:
    """Give a token to a worker that has no secret of its own; the bootstrap token proves that it may have one."""

    expected = call.settings.agent.bootstrap_token
    if not expected:
        raise Problem(503, "SERVICE_UNAVAILABLE", "agent.bootstrap_token is not set: no worker gets a token here")
    shown = call.headers.get("x-agent-token", "")
    if not hmac.compare_digest(shown.encode(), expected.encode()):
        raise Problem.unauthorized("Invalid token" if shown else "Token required")
    now = call.services.clock.now()
    seconds = 86400
    name = call.body.worker_name
    claims = Claims("1", f"worker:{name}", "worker", now + seconds, "internal_files", {"worker_name": name})
    return data({"token": mint(claims, secret=call.services.secret, now=now), "expires_in": seconds})


def _session(session: Session) -> Answer:
    found: dict[str, Any] = {
        "access_token": session.access_token,
        "refresh_token": session.refresh_token,
        "token_type": "Bearer",
        "expires_in": session.expires_in,
    }
    if session.identity is not None:
        one = session.identity
        found["user"] = {"id": one.id, "login": one.login, "display_name": one.display_name}
    return data(found)


ROUTES = (
    Route("GET", "/auth/settings", settings, "How one may log in", PUBLIC, answer=dict, tag="auth"),
    Route(
        "POST",
        "/auth/login",
        login,
        "Log in with a password",
        PUBLIC,
        body=LoginBody,
        answer=dict,
        errors=(401, 403, 429, 503),
        tag="auth",
    ),
    Route(
        "POST",
        "/auth/register",
        register,
        "Make an account",
        PUBLIC,
        body=RegisterBody,
        answer=dict,
        errors=(403, 409, 503),
        tag="auth",
    ),
    Route(
        "POST",
        "/auth/refresh",
        refresh,
        "Renew a log-in",
        PUBLIC,
        body=RefreshBody,
        body_optional=True,
        answer=dict,
        errors=(401, 403),
        tag="auth",
    ),
    Route(
        "POST",
        "/auth/token-login",
        token_login,
        "Log in with an integration token",
        PUBLIC,
        body=TokenBody,
        answer=dict,
        errors=(401,),
        tag="auth",
    ),
    Route(
        "POST", "/auth/logout", log_out, "End a log-in", PUBLIC, body=RefreshBody, answer=dict, bare=True, tag="auth"
    ),
    Route("POST", "/auth/ldap/login", ldap, "Log in with LDAP", PUBLIC, body=LoginBody, status=501, tag="auth"),
    Route(
        "POST",
        "/auth/worker-token",
        worker_token,
        "A token for a worker",
        PUBLIC,
        body=WorkerTokenBody,
        answer=dict,
        errors=(401, 503),
        tag="auth",
    ),
    Route("GET", "/auth/me", me, "One's own account", ACCESS, answer=dict, tag="auth"),
    Route("PUT", "/auth/me", change_me, "Change one's own name", ACCESS, body=ProfileBody, answer=dict, tag="auth"),
    Route(
        "POST",
        "/auth/change-password",
        change_password,
        "Change one's own password",
        ACCESS,
        body=PasswordBody,
        answer=dict,
        bare=True,
        errors=(503,),
        tag="auth",
    ),
)
