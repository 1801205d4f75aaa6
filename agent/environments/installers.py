"""The environment variables of installers: no writable home needed, shared downloads, a PATH that fits."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence

from agent.environments.backend import Installers
from agent.environments.image_variables import OTHER_INTERPRETER, ImageVariables, dropped
from agent.environments.installer_network import network_variables
from agent.environments.layout import make_shared_directory

#: Below ``runtime_envs_dir``; no pack's name begins with a dot.
CACHE_FOLDER = ".cache"

_CACHES = {
    "PIP_CACHE_DIR": "pip",
    "npm_config_cache": "npm",
    "UV_CACHE_DIR": "uv",
    "PERL_CPANM_HOME": "cpanm",
    "RENV_PATHS_ROOT": "renv",
    "COMPOSER_HOME": "composer",
}


def installer_environment(
    container: Mapping[str, str],
    *,
    hidden: ImageVariables,
    installers: Installers,
    variables: Mapping[str, str],
    program_folders: Sequence[str],
) -> dict[str, str]:
    """Return ``container`` with what an installer needs.

    What points elsewhere is dropped, what the image's owner set about caches, indexes and proxies stays, what an
    operator set about the network outranks it.
    """
    cache = installers.cache_dir
    names = dropped(container, (*hidden.build, *hidden.run, *OTHER_INTERPRETER), hidden.keep)
    kept = {name: value for name, value in container.items() if name not in names}
    env = {name: str(cache / folder) for name, folder in _CACHES.items()} | kept
    if not _usable(kept.get("HOME")):
        env["HOME"] = str(cache / "home")
        with contextlib.suppress(OSError):
            make_shared_directory(cache / "home")
    path = kept.get("PATH") or os.defpath
    env["PATH"] = os.pathsep.join([*dict.fromkeys(program_folders), path])
    return env | network_variables(installers.network) | dict(variables)


def _usable(home: str | None) -> bool:
    return bool(home) and os.path.isdir(str(home)) and os.access(str(home), os.W_OK | os.X_OK)
