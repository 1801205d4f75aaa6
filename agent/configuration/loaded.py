"""Assemble the settings of a process: defaults, file, overlay, environment, command line.

Promise: later sources win.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.configuration.convert import convert
from agent.configuration.environment import Variables, leaves, overrides_tree, settings_tree
from agent.configuration.files import find_file, find_overlay, read_file
from agent.configuration.known import is_unused, nearest
from agent.configuration.node import Node, merged
from agent.configuration.settings_table import build, fields, sections
from agent.configuration.validation import validate
from agent.errors import ConfigurationError
from agent.settings import Settings

DEFAULT = "default"
#: Seconds between the end of a drain and the moment when the container is killed.
_GRACE_RESERVE = 5.0


@dataclass(frozen=True)
class Loaded:
    """The settings of this process and how they came to be.

    ``sources`` maps each dotted key to ``default``, ``file:line``, a variable's name or ``command line``;
    ``variables`` are the facts that are not settings; ``files`` are those that were read, base first.
    """

    settings: Settings
    sources: Mapping[str, str]
    warnings: Sequence[str] = ()
    variables: Variables = field(default_factory=Variables)
    files: Sequence[Path] = ()


def load_settings(
    environ: Mapping[str, str], *, config: Path | None = None, overrides: Mapping[str, str] | None = None
) -> Loaded:
    """Read everything that configures this process.

    Args:
        environ: the process environment.
        config: the file named on the command line, if any.
        overrides: dotted keys given on the command line, such as ``worker.name``.

    Raises:
        ConfigurationError: a named file is missing, a file is malformed, or a value has the wrong type or range.
    """
    root, files = _layers(environ, config, overrides or {})
    values, sources, warnings = _typed(root)
    variables = Variables.of(environ)
    warnings += _identify(values, sources, variables)
    warnings += _drain_within_grace(values, sources, variables)
    settings = build(values)
    validate(settings, sources)
    return Loaded(settings, sources, tuple(warnings), variables, files)


def _layers(
    environ: Mapping[str, str], config: Path | None, overrides: Mapping[str, str]
) -> tuple[Node, tuple[Path, ...]]:
    variables = settings_tree(environ)
    base = find_file(config, environ)
    root = read_file(base) if base is not None else Node({}, DEFAULT)
    named = variables.value.get("environment") or root.value.get("environment")
    environment = named.text if named is not None and named.text else fields()["environment"].default
    overlay = find_overlay(base, environment)
    if overlay is not None:
        root = merged(root, read_file(overlay))
    root = merged(merged(root, variables), overrides_tree(overrides))
    return root, tuple(path for path in (base, overlay) if path is not None)


def _typed(root: Node) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    values: dict[str, Any] = {}
    sources = dict.fromkeys(fields(), DEFAULT)
    warnings: list[str] = []
    for key, node in leaves(root):
        known = fields().get(key)
        if known is None:
            warnings += _unknown(key, node)
        elif not (node.is_unset and known.default is not None):  # null in a file means: as if it weren't there
            values[key] = convert(node, known)
            sources[key] = ", ".join(dict.fromkeys(node.origins()))
    return values, sources, warnings


def _unknown(key: str, node: Node) -> list[str]:
    """A misspelt key is worth a warning; a section or key of another service is not."""
    section, dot, name = key.partition(".")
    if is_unused(key):
        return []
    if section in sections():
        if not dot:
            if node.is_unset:
                return []
            raise ConfigurationError(f"{node.origin}: {key} must be a section (a map), not {node.text!r}")
        candidates = [known.partition(".")[2] for known in fields() if known.startswith(section + ".")]
        close = nearest(name, candidates)
        return [
            f"{node.origin}: {key} is not a known setting" + (f"; did you mean {section}.{close}?" if close else "")
        ]
    # Most unknown sections belong to other services: only what is nearly ours was meant to be ours.
    close = nearest(section, sections() if dot else [known for known in fields() if "." not in known], likeness=0.8)
    return [f"{node.origin}: {key} is not a known setting; did you mean {close}{dot}{name}?"] if close else []


def _identify(values: dict[str, Any], sources: dict[str, str], variables: Variables) -> list[str]:
    """Fill in who this worker is where the configuration doesn't say: variables, then the hostname."""
    if not (values.get("worker.name") or "").strip():
        values["worker.name"] = variables.worker_name or f"worker-{_hostname() or 'unknown'}"
        sources["worker.name"] = "ATTUNE_WORKER_NAME" if variables.worker_name else "default (hostname)"
    if not (values.get("sensor.worker_name") or "").strip():
        values["sensor.worker_name"] = f"sensor-{_hostname() or 'unknown'}"
        sources["sensor.worker_name"] = "default (hostname)"
    for key in ("worker.host", "sensor.host"):
        if not values.get(key):
            values[key] = _hostname()
            sources[key] = "default (hostname)"
    if values.get("worker.worker_type") or not variables.worker_type:
        return []
    if variables.worker_type.lower() not in ("local", "remote", "container"):
        return [f"ATTUNE_WORKER_TYPE: {variables.worker_type!r} is ignored; it may be local, remote or container"]
    values["worker.worker_type"] = variables.worker_type.lower()
    sources["worker.worker_type"] = "ATTUNE_WORKER_TYPE"
    return []


def _drain_within_grace(values: dict[str, Any], sources: dict[str, str], variables: Variables) -> list[str]:
    """Be done before the container is killed, where the configuration doesn't say when."""
    given = variables.stop_grace_period
    unset = [key for key in ("worker.shutdown_timeout", "sensor.shutdown_timeout") if key not in values]
    if given is None or not unset:
        return []
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        return [f"ATTUNE_STOP_GRACE_PERIOD: {given!r} is ignored; it must be a number of seconds"]
    for key in unset:
        values[key] = max(0.0, seconds - _GRACE_RESERVE)
        sources[key] = "ATTUNE_STOP_GRACE_PERIOD"
    return []


def _hostname() -> str | None:
    try:
        return socket.gethostname() or None
    except OSError:
        return None
