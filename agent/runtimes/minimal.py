"""Runtimes that nobody described: what is needed to run a file with an interpreter that was merely found (pure)."""

from __future__ import annotations

from typing import Any

from agent.runtimes.detected import DetectedInterpreter
from agent.runtimes.execution_config import ExecutionConfig
from agent.runtimes.languages import language_named
from agent.runtimes.model import Runtime
from agent.runtimes.names import default_aliases, default_file_extension


def minimal_execution_config(name: str, path: str) -> dict[str, Any]:
    """Return the ``execution_config`` of a row for the interpreter at ``path``."""
    language = language_named(name)
    interpreter: dict[str, Any] = {"binary": path, "args": list(language.run_arguments if language else ())}
    extension = default_file_extension(name)
    if extension is not None:
        interpreter["file_extension"] = extension
    config: dict[str, Any] = {"interpreter": interpreter}
    if name == "shell":
        config["inline_execution"] = {"strategy": "temp_file", "extension": ".sh", "inject_shell_helpers": True}
    return config


def minimal_distributions(name: str, path: str) -> dict[str, Any]:
    """Return ``distributions`` whose one check asks that interpreter for its version in its own way."""
    family = language_named(name)
    arguments = family.version_arguments if family else ("--version",)
    check = {"binary": path, "args": list(arguments), "exit_code": 0, "priority": 1}
    return {"verification": {"commands": [check]}}


def detection_config(detected: DetectedInterpreter, template: str | None = None) -> dict[str, Any]:
    """Return ``detection_config``: what was found, and the ref of the runtime that was cloned for it, if any."""
    config = {"detected_path": detected.path, "detected_name": detected.name}
    if detected.version is not None:
        config["detected_version"] = detected.version
    return config | ({"template": template} if template else {})


def native_runtime() -> Runtime:
    """Return the runtime that runs files themselves, for a database that has no row for it.

    Promise: native is always there.
    """
    return Runtime(id=0, ref="core.native", name="Native", aliases=default_aliases("native"))


def builtin_shell(detected: DetectedInterpreter | None) -> Runtime:
    """Return a shell for a database that has no runtime at all."""
    path = "/bin/bash" if detected is None else detected.path
    config = ExecutionConfig.from_json(minimal_execution_config("shell", path))
    return Runtime(id=0, ref="core.shell", name="Shell", aliases=default_aliases("shell"), config=config)
