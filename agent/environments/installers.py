"""The environment variables of installers: no writable home needed, shared downloads, a PATH that fits."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.environments.layout import make_shared_directory

#: Below ``runtime_envs_dir``; no pack's name begins with a dot.
CACHE_FOLDER = ".cache"

_CACHES = {"PIP_CACHE_DIR": "pip", "npm_config_cache": "npm", "UV_CACHE_DIR": "uv"}


def installer_environment(
    container: Mapping[str, str],
    *,
    runtime_envs_dir: Path,
    variables: Mapping[str, str],
    program_folders: Sequence[str],
) -> dict[str, str]:
    """Return ``container`` with what an installer needs; what the image's owner set about caches stays."""
    cache = runtime_envs_dir / CACHE_FOLDER
    env = {name: str(cache / folder) for name, folder in _CACHES.items()} | dict(container)
    if not _usable(container.get("HOME")):
        env["HOME"] = str(cache / "home")
        with contextlib.suppress(OSError):
            make_shared_directory(cache / "home")
    path = container.get("PATH") or os.defpath
    env["PATH"] = os.pathsep.join([*dict.fromkeys(program_folders), path])
    # The agent's own virtual environment, if it runs in one, is none of the installer's business.
    env.pop("VIRTUAL_ENV", None)
    env.pop("PYTHONHOME", None)
    return env | dict(variables)


def _usable(home: str | None) -> bool:
    return bool(home) and os.path.isdir(str(home)) and os.access(str(home), os.W_OK | os.X_OK)
