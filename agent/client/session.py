"""Log in, stay logged in, log out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from agent.client.login_file import Login, LoginFile
from agent.client.transport import Transport
from agent.errors import AccessDenied, AgentError

INTEGRATION_PREFIX = "attune_it_"
"""How a token begins that an administrator made for a program; it is exchanged for a log-in."""


class KeptTokens:
    """The tokens of the log-in file, renewed in it."""

    def __init__(self, file: LoginFile, login: Login) -> None:
        """Begin with what was read."""
        self._file = file
        self._login = login

    def current(self) -> str | None:
        """Return the access token."""
        return self._login.access_token

    def renew(self, transport: Transport) -> bool:
        """Exchange the refresh token, unless another command has just done so."""
        with self._file.locked():
            kept = self._file.read()
            if kept is None or kept.url != self._login.url:
                return False
            if kept.access_token != self._login.access_token:
                self._login = kept
                return True
            try:
                renewed = _session(transport, "/auth/refresh", {"refresh_token": kept.refresh_token})
            except AccessDenied:
                return False
            self._login = dataclasses.replace(
                kept, access_token=renewed["access_token"], refresh_token=renewed["refresh_token"]
            )
            self._file.write(self._login)
            return True


class GivenToken:
    """A token from the environment: shown as it is, or exchanged at its first use."""

    def __init__(self, token: str) -> None:
        """Nothing is asked yet."""
        self._given = token
        self._shown = None if token.startswith(INTEGRATION_PREFIX) else token

    def current(self) -> str | None:
        """Return what is shown."""
        return self._shown

    def renew(self, transport: Transport) -> bool:
        """Exchange a program's token; anything else can't be renewed."""
        if not self._given.startswith(INTEGRATION_PREFIX):
            return False
        self._shown = str(_session(transport, "/auth/token-login", {"token": self._given})["access_token"])
        return True


def log_in(
    transport: Transport, *, login: str = "", password: str = "", token: str = "", ca_file: str | None = None
) -> Login:
    """Log in with a login and a password, or with a program's token.

    Raises:
        AccessDenied: refused.
        ApiUnavailable: no answer.
    """
    if token:
        found = _session(transport, "/auth/token-login", {"token": token})
    else:
        found = _session(transport, "/auth/login", {"login": login, "password": password})
    user = found.get("user")
    name = str(user.get("login", login)) if isinstance(user, Mapping) else login
    return Login(transport.url, name, found["access_token"], found["refresh_token"], ca_file)


def log_out(transport: Transport, login: Login) -> None:
    """End the log-in at the server. Raises AgentError."""
    transport.ask("POST", "/auth/logout", {"refresh_token": login.refresh_token})


def _session(transport: Transport, path: str, body: Mapping[str, str]) -> dict[str, Any]:
    """Ask without a token: the one that was shown has just been refused, or there is none yet."""
    found = transport.anonymous().ask("POST", path, body)
    if not isinstance(found, dict) or not all(
        isinstance(found.get(key), str) and found[key] for key in ("access_token", "refresh_token")
    ):
        raise AgentError("the server that answered is not an Attune API", hint="is the URL right?")
    return found
