"""The values of this package: detected interpreters, runtime rows and version rows (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agent.runtimes.detected import DetectedInterpreter
from agent.runtimes.execution_config import (
    CompileSpec,
    DependencySpec,
    EnvironmentSpec,
    EnvVar,
    ExecutionConfig,
    InlineExecution,
    Interpreter,
)

__all__ = [
    "CompileSpec",
    "DependencySpec",
    "DetectedInterpreter",
    "EnvVar",
    "EnvironmentSpec",
    "ExecutionConfig",
    "InlineExecution",
    "Interpreter",
    "Runtime",
    "RuntimeVersion",
]


@dataclass(frozen=True)
class Runtime:
    """A row of ``runtime``."""

    id: int
    ref: str
    name: str
    aliases: tuple[str, ...] = ()
    pack: int | None = None
    pack_ref: str | None = None
    distributions: Mapping[str, Any] = field(default_factory=dict)
    config: ExecutionConfig = field(default_factory=ExecutionConfig)
    auto_detected: bool = False
    detection_config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RuntimeVersion:
    """A row of ``runtime_version``.

    ``disabled`` is an operator's switch that no verification resets; ``auto_detected`` rows were made by agents.
    """

    id: int
    runtime: int
    runtime_ref: str
    version: str
    config: ExecutionConfig = field(default_factory=ExecutionConfig)
    distributions: Mapping[str, Any] = field(default_factory=dict)
    is_default: bool = False
    available: bool = False
    verified_at: datetime | None = None
    disabled: bool = False
    auto_detected: bool = False
