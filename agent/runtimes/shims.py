"""Follow a version manager's shim to the program that it starts, by its files alone; nothing is executed here.

A shim is a script that looks for the version to start each time: that costs a tenth of a second, depends on the working
directory (a pack's ``.python-version`` would decide), and ends in an error message that names a version which isn't
there. So the choice is read once, from the manager's variable or its global file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from agent.reading.regular_files import read_regular

_MOST_BYTES = 65536
_XENV = re.compile(r"\b(pyenv|rbenv|nodenv|goenv|plenv|jenv|phpenv|luaenv|Renv)\b")
_ASDF_PLUGIN = re.compile(r"^# asdf-plugin: (\S+)", re.MULTILINE)
_NUMBERS = re.compile(r"\d+")


class Shim(NamedTuple):
    """``program`` is what the shim starts, None when it starts nothing; ``problem`` says why, empty for "the next on
    PATH"."""

    program: str | None
    problem: str = ""


def follow(path: str, env: Mapping[str, str]) -> Shim | None:
    """Return what ``path`` starts, None when it is no version manager's shim; ``env`` is the image's environment."""
    folder, name = os.path.split(path)
    root, last = os.path.split(folder)
    if last == "shims" and os.path.isdir(f"{root}/versions"):
        return _xenv(root, name, path, env)
    if last == "shims" and os.path.isdir(f"{root}/installs"):
        return _installs(root, name, path, env)
    if last == "bin" and os.path.isdir(f"{root}/tools/image"):
        return _volta(root, name)
    return None


def _xenv(root: str, name: str, path: str, env: Mapping[str, str]) -> Shim:
    """pyenv and its relatives: ``versions/3.12.1/bin``, chosen by ``PYENV_VERSION`` or the file ``version``."""
    found = _XENV.search(os.path.basename(root)) or _XENV.search(_text(path))
    manager = found[1] if found else "pyenv"
    variable, file = f"{manager.upper()}_VERSION", f"{root}/version"
    chosen, source = env.get(variable, "").split(":"), variable
    if not any(chosen):
        chosen, source = _text(file).split(), file
    for version in filter(None, chosen):
        if version == "system":
            return Shim(None)
        home = _newest(f"{root}/versions", version.removeprefix("python-").removeprefix("ruby-"))
        if home is None:
            return Shim(None, f"{manager} has no version {version}, which {source} names")
        if os.access(f"{home}/bin/{name}", os.X_OK):
            return Shim(f"{home}/bin/{name}")
    return Shim(None, f"{manager}: none of the chosen versions ({source}) has {name}" if any(chosen) else "")


def _installs(root: str, name: str, path: str, env: Mapping[str, str]) -> Shim:
    """asdf and mise: ``installs/python/3.12.1/bin``, chosen by a variable or a file in the home directory."""
    tools = _ASDF_PLUGIN.findall(_text(path)) or sorted(
        tool for tool in _entries(f"{root}/installs") if _offering(f"{root}/installs/{tool}", name)
    )
    for tool in dict.fromkeys(tools):
        versions, source = _tool_versions(tool, env)
        for version in versions:
            if version == "system":
                return Shim(None)
            home = _newest(f"{root}/installs/{tool}", version)
            if home is None:
                return Shim(None, f"{tool} {version}, which {source} names, is not installed in {root}")
            if os.access(f"{home}/bin/{name}", os.X_OK):
                return Shim(f"{home}/bin/{name}")
    return Shim(None, f"no version of {' or '.join(tools) or name} is chosen for everybody")


def _tool_versions(tool: str, env: Mapping[str, str]) -> tuple[Sequence[str], str]:
    for prefix in ("ASDF", "MISE"):
        variable = f"{prefix}_{tool.upper().replace('-', '_')}_VERSION"
        if env.get(variable):
            return env[variable].split(), variable
    home = env.get("HOME", "/root")
    config = env.get("MISE_CONFIG_DIR") or f"{env.get('XDG_CONFIG_HOME') or f'{home}/.config'}/mise"
    chosen = _mise_versions(f"{config}/config.toml", tool)
    if chosen:
        return chosen, f"{config}/config.toml"
    file = f"{home}/.tool-versions"
    for line in _text(file).splitlines():
        words = line.split("#")[0].split()
        if words and words[0] == tool:
            return words[1:], file
    return (), file


def _mise_versions(file: str, tool: str) -> Sequence[str]:
    text = _text(file)
    if not text:
        return ()
    import tomllib

    try:
        value = tomllib.loads(text).get("tools", {}).get(tool)
    except (ValueError, AttributeError, RecursionError):
        return ()
    if isinstance(value, dict):
        value = value.get("version")
    return [str(item) for item in (value if isinstance(value, list) else [value]) if item]


def _volta(root: str, name: str) -> Shim | None:
    """Volta: ``tools/image/node/20.11.0/bin``, chosen by ``tools/user/platform.json``."""
    if name not in ("node", "npm", "npx"):
        return None
    from agent.reading.json_text import read_json

    file = f"{root}/tools/user/platform.json"
    try:
        version = read_json(_text(file) or "{}")["node"]["runtime"]
    except (ValueError, KeyError, TypeError):
        return Shim(None, f"volta has no default version of node ({file})")
    program = f"{root}/tools/image/node/{version}/bin/{name}"
    return Shim(program) if os.access(program, os.X_OK) else Shim(None, f"volta has no node {version}")


def _newest(container: str, version: str) -> str | None:
    """The directory of ``version``, or of its newest release where only its beginning is given (``3.12``).

    A virtual environment may be named by its place, ``3.12.1/envs/app``.
    """
    if not {"", ".", ".."}.isdisjoint(version.split("/")):
        return None
    if os.path.isdir(f"{container}/{version}"):
        return f"{container}/{version}"
    if "/" in version:
        return None
    releases = [entry for entry in _entries(container) if entry.startswith(f"{version}.")]
    newest = max(releases, key=lambda entry: [int(number) for number in _NUMBERS.findall(entry)], default=None)
    return None if newest is None else f"{container}/{newest}"


def _offering(container: str, name: str) -> bool:
    return any(os.access(f"{container}/{version}/bin/{name}", os.X_OK) for version in _entries(container))


def _entries(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def _text(path: str) -> str:
    try:
        return read_regular(path, _MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
