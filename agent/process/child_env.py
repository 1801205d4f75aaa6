"""The environment that child processes get: the container's own, as it was before this program changed it."""

from __future__ import annotations

import os
from collections.abc import Mapping

#: What the launcher of the one-file agent had to unset, it keeps under this prefix (``…_ENV_LD_PRELOAD``).
SAVED_PREFIX = "ATTUNE_LAUNCHER_ENV_"

#: Names, separated by commas, that the launcher added for our process (``LC_ALL``, ``SSL_CERT_FILE``...).
ADDED = "ATTUNE_LAUNCHER_ADDED"

#: Set by the launcher or by the frozen program's boot loader for our process alone.
_OURS = ("_PYI_", "ATTUNE_LAUNCHER_")

#: Settings of the agent: they hold credentials, and nothing an action could use.
_SETTINGS = "ATTUNE__"


def container_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the container's environment without the agent's settings and without traces of the frozen program.

    Promise: settings stay with the agent.
    """
    current = os.environ if environ is None else environ
    saved = {name.removeprefix(SAVED_PREFIX): value for name, value in current.items() if name.startswith(SAVED_PREFIX)}
    added = current.get(ADDED, "").split(",")
    own = {
        name: value for name, value in current.items() if name not in added and not name.startswith((*_OURS, _SETTINGS))
    }
    return own | saved
