"""The values of this package: detected interpreters, runtime rows, version rows and their execution configuration (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True)
class DetectedInterpreter:
    """One interpreter that was found on this machine.

    ``name`` is canonical (``shell``, ``python``, ``node``…), ``path`` is as found (symlinks unresolved), ``version``
    is None when it could not be told; ``problem`` then says why (``no answer within 5 s``).
    """

    name: str
    path: str
    version: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Interpreter:
    """``execution_config.interpreter``; an empty ``binary`` means that the file is run itself (native)."""

    binary: str = ""
    args: tuple[str, ...] = ()
    file_extension: str | None = None


@dataclass(frozen=True)
class InlineExecution:
    """``execution_config.inline_execution``."""

    strategy: Literal["direct", "temp_file"] = "direct"
    extension: str | None = None
    inject_shell_helpers: bool = False


@dataclass(frozen=True)
class EnvironmentSpec:
    """``execution_config.environment``; ``env_type`` ``none`` disables it."""

    env_type: str
    dir_name: str = ".venv"
    create_command: tuple[str, ...] = ()
    interpreter_path: str | None = None


@dataclass(frozen=True)
class DependencySpec:
    """``execution_config.dependencies``."""

    manifest_file: str
    install_command: tuple[str, ...] = ()


@dataclass(frozen=True)
class EnvVar:
    """One entry of ``execution_config.env_vars``."""

    value: str
    operation: Literal["set", "prepend", "append"] = "set"
    separator: str = ":"


@dataclass(frozen=True)
class ExecutionConfig:
    """``execution_config`` of a runtime or of one of its versions (runtimes specification, 7.1)."""

    interpreter: Interpreter = field(default_factory=Interpreter)
    inline_execution: InlineExecution = field(default_factory=InlineExecution)
    environment: EnvironmentSpec | None = None
    dependencies: DependencySpec | None = None
    env_vars: Mapping[str, EnvVar] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Any) -> ExecutionConfig:
        """Read the database's JSON.

        Unknown keys are ignored.

        Raises:
            ValueError: a key has the wrong type; the message names it.
        """
        raise NotImplementedError


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
    """A row of ``runtime_version``."""

    id: int
    runtime: int
    runtime_ref: str
    version: str
    config: ExecutionConfig = field(default_factory=ExecutionConfig)
    distributions: Mapping[str, Any] = field(default_factory=dict)
    is_default: bool = False
    available: bool = False
    verified_at: datetime | None = None
