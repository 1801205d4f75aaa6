"""A row's execution configuration on this machine: rows are shared by machines, interpreters are not.

Promise: the machine's own interpreter.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from agent.runtimes.detected import DetectedInterpreter
from agent.runtimes.execution_config import ExecutionConfig
from agent.runtimes.probe import is_program


@dataclass(frozen=True)
class Local:
    """``config`` with this machine's interpreter in it.

    ``interpreter`` is its absolute path, empty where files are run themselves. ``version`` is what it says of itself,
    where that is known.
    """

    config: ExecutionConfig
    interpreter: str
    version: str | None = None

    @property
    def present(self) -> bool:
        """Whether the interpreter is (still) there."""
        return not self.interpreter or is_program(self.interpreter)


def localize(
    config: ExecutionConfig,
    *,
    name: str,
    detected: DetectedInterpreter | None,
    find: Callable[[str], str | None],
) -> Local | None:
    """Return how this machine runs ``config``, None when it has no interpreter for it.

    The row's own interpreter is taken where ``find`` finds it here, else the ``detected`` one of that language
    (``name``).
    """
    own = config.interpreter.binary
    if not own:
        return Local(config, "")
    path = find(own)
    if path is not None:
        version = detected.version if detected is not None and detected.path == path else None
        return Local(_with_interpreter(config, path), path, version)
    if detected is None or detected.name != name or not is_program(detected.path):
        return None
    return Local(_substituted(config, detected.path), detected.path, detected.version)


def _with_interpreter(config: ExecutionConfig, path: str) -> ExecutionConfig:
    return replace(config, interpreter=replace(config.interpreter, binary=path))


def _substituted(config: ExecutionConfig, path: str) -> ExecutionConfig:
    """Put ``path`` wherever the row names its own interpreter as a program; scripts inside arguments are left alone."""
    own = config.interpreter.binary
    environment, dependencies = config.environment, config.dependencies
    if environment is not None:
        literal = environment.interpreter_path
        stale = literal is not None and "{" not in literal and not os.path.exists(literal)
        environment = replace(
            environment,
            create_command=_command(environment.create_command, own, path),
            interpreter_path=path if stale else literal,
        )
    if dependencies is not None:
        dependencies = replace(dependencies, install_command=_command(dependencies.install_command, own, path))
    return replace(_with_interpreter(config, path), environment=environment, dependencies=dependencies)


def _command(command: Sequence[str], own: str, path: str) -> tuple[str, ...]:
    return (path, *command[1:]) if command and command[0] == own else tuple(command)
