"""``execution_config``: how a runtime, or one of its versions, runs a file and prepares its needs (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agent.runtimes.typed_json import Section


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
    """``execution_config`` of a runtime or of one of its versions in the database."""

    interpreter: Interpreter = field(default_factory=Interpreter)
    inline_execution: InlineExecution = field(default_factory=InlineExecution)
    environment: EnvironmentSpec | None = None
    dependencies: DependencySpec | None = None
    env_vars: Mapping[str, EnvVar] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Any) -> ExecutionConfig:
        """Read the database's JSON.

        Unknown keys are ignored; null is the same as a missing key.

        Raises:
            ValueError: a key has the wrong type; the message names it.
        """
        top = Section(data, "", "execution_config")
        return cls(
            interpreter=_interpreter(top.section("interpreter")),
            inline_execution=_inline(top.section("inline_execution")),
            environment=_environment(top.section("environment")) if top.has("environment") else None,
            dependencies=_dependencies(top.section("dependencies")) if top.has("dependencies") else None,
            env_vars=_env_vars(top.section("env_vars")),
        )


def _interpreter(section: Section) -> Interpreter:
    return Interpreter(
        binary=section.text("binary", ""),
        args=section.texts("args"),
        file_extension=section.optional_text("file_extension"),
    )


def _inline(section: Section) -> InlineExecution:
    strategies: tuple[Literal["direct", "temp_file"], ...] = ("direct", "temp_file")
    return InlineExecution(
        strategy=section.choice("strategy", strategies),
        extension=section.optional_text("extension"),
        inject_shell_helpers=section.flag("inject_shell_helpers"),
    )


def _environment(section: Section) -> EnvironmentSpec:
    return EnvironmentSpec(
        env_type=section.text("env_type"),
        dir_name=section.text("dir_name", ".venv"),
        create_command=section.texts("create_command"),
        interpreter_path=section.optional_text("interpreter_path"),
    )


def _dependencies(section: Section) -> DependencySpec:
    return DependencySpec(manifest_file=section.text("manifest_file"), install_command=section.texts("install_command"))


def _env_vars(section: Section) -> Mapping[str, EnvVar]:
    operations: tuple[Literal["set", "prepend", "append"], ...] = ("set", "prepend", "append")
    variables = {}
    for name in section.names():
        if isinstance(section.raw(name), str):
            variables[name] = EnvVar(section.text(name))
            continue
        entry = section.section(name)
        variables[name] = EnvVar(
            entry.text("value"), entry.choice("operation", operations), entry.text("separator", ":")
        )
    return variables
