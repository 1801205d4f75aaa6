"""Which API a command asks: ``--api``, then ``ATTUNE_CLI_URL``, then the log-in of this machine's user, else none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import UsageError

if TYPE_CHECKING:
    from agent.client.login_file import LoginFile
    from agent.client.transport import Transport


def login_file() -> LoginFile:
    """Return the file of the log-in, below the user's configuration."""
    from agent.client.login_file import LoginFile

    home = os.environ.get("XDG_CONFIG_HOME", "")
    base = Path(home) if home.startswith("/") else Path.home() / ".config"
    return LoginFile(base / "attune" / "login.json")


def chosen_api(named: str | None, *, database_only: bool = False) -> Transport | None:
    """Return how to ask the API, None where the database is asked.

    Raises:
        UsageError: an API is named, and there is no token for it; or it is no URL.
        ConfigurationError: the file of the log-in can't be believed.
    """
    if database_only:
        if named:
            raise UsageError("--api and --database exclude each other")
        return None
    url = named or os.environ.get("ATTUNE_CLI_URL", "")
    file = login_file()
    if not url and not file.path.exists():
        return None
    from agent.client.address import api_url
    from agent.client.session import GivenToken, KeptTokens
    from agent.client.transport import Transport

    token = os.environ.get("ATTUNE_CLI_TOKEN", "")
    if url and token:
        return Transport(api_url(url), GivenToken(token.strip()))
    login = file.read()
    if login is not None and (not url or api_url(url) == login.url):
        return Transport(login.url, KeptTokens(file, login), ca_file=login.ca_file)
    if not url:
        return None
    raise UsageError(
        f"you are not logged in to {api_url(url)}", hint=f"attune login {api_url(url)}, or set ATTUNE_CLI_TOKEN"
    )
