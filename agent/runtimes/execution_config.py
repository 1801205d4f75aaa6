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
    """``execution_config.environment``; ``env_type`` ``none`` disables it.

    ``check_command`` must succeed before a build counts as ready. ``lock_files`` stand beside the manifest and decide
    with it. ``build_env`` are variables of the commands. ``unset`` are variables of the image that would point the
    language elsewhere, when building and running; ``unset_for_build`` those that disturb the commands only; both may
    end in ``*``. ``keep_source``: what was built refers to the copy of the pack that it was built from.
    ``only_with_manifest``: a pack without one gets no environment.
    """

    env_type: str
    dir_name: str = ".venv"
    create_command: tuple[str, ...] = ()
    interpreter_path: str | None = None
    check_command: tuple[str, ...] = ()
    lock_files: tuple[str, ...] = ()
    build_env: Mapping[str, str] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    unset_for_build: tuple[str, ...] = ()
    keep_source: bool = False
    only_with_manifest: bool = False


@dataclass(frozen=True)
class DependencySpec:
    """``execution_config.dependencies``; the first of it and its ``alternatives`` that the pack has is installed."""

    manifest_file: str
    install_command: tuple[str, ...] = ()
    alternatives: tuple[DependencySpec, ...] = ()


@dataclass(frozen=True)
class CompileSpec:
    """``execution_config.compile``: an action's file is compiled once, and what came of it is run.

    ``command`` writes to ``{output}``, ``run`` takes the place of the interpreter with its arguments and the file.
    ``sources`` are the endings of the pack's files that decide what is compiled.
    """

    command: tuple[str, ...]
    run: tuple[str, ...]
    sources: tuple[str, ...] = ()


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
    compile: CompileSpec | None = None

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
            compile=_compile(top.section("compile")) if top.has("compile") else None,
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
        check_command=section.texts("check_command"),
        lock_files=section.texts("lock_files"),
        build_env=_texts_by_name(section.section("build_env")),
        unset=section.texts("unset"),
        unset_for_build=section.texts("unset_for_build"),
        keep_source=section.flag("keep_source"),
        only_with_manifest=section.flag("only_with_manifest"),
    )


def _dependencies(section: Section) -> DependencySpec:
    alternatives = section.items("alternatives") or []
    return DependencySpec(
        manifest_file=section.text("manifest_file"),
        install_command=section.texts("install_command"),
        alternatives=tuple(
            _dependencies(Section(item, f"{section.name('alternatives')}[{index}]"))
            for index, item in enumerate(alternatives)
        ),
    )


def _compile(section: Section) -> CompileSpec:
    return CompileSpec(section.texts("command"), section.texts("run"), section.texts("sources"))


def _texts_by_name(section: Section) -> Mapping[str, str]:
    return {name: section.text(name) for name in section.names()}


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
