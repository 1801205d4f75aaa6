"""What somebody wants to run and what it runs with: the values that go into the manager and come out of it (pure)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.process.cancellation import CancellationToken
from agent.runtimes.model import DependencySpec, EnvVar, ExecutionConfig
from agent.runtimes.registry import UsableRuntime
from agent.runtimes.selection import SelectedVersion


def never() -> bool:
    """Say that nobody asked for the end."""
    return False


def silent(_line: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class EnvironmentRequest:
    """One pack and one runtime (or one version of it) on this machine.

    ``dir_name`` is the environment's name below the pack (``python``, ``python-3.12``). ``interpreter`` is the
    path of this machine's own interpreter. ``cancelled`` is asked while waiting; ``stop`` ends a running
    installer at once (without it, ``cancelled`` is polled). ``progress`` is told when a build starts and ends. Without
    ids nothing is written to the database.
    """

    pack_ref: str
    pack_dir: Path
    dir_name: str
    config: ExecutionConfig
    interpreter: str
    interpreter_version: str | None = None
    pack_id: int | None = None
    runtime_id: int | None = None
    runtime_ref: str = ""
    runtime_version_id: int | None = None
    version: str | None = None
    cancelled: Callable[[], bool] = never
    stop: CancellationToken | None = None
    progress: Callable[[str], None] = field(default=silent, compare=False)

    @classmethod
    def of(
        cls,
        pack: tuple[int | None, str],
        pack_dir: Path,
        usable: UsableRuntime,
        selected: SelectedVersion,
        **asking: Any,
    ) -> EnvironmentRequest:
        """Ask for what a selected version runs with in a pack, given by id and ref; ``asking`` is who waits for it."""
        return cls(
            pack_ref=pack[1],
            pack_dir=pack_dir,
            dir_name=selected.env_name,
            config=selected.config,
            interpreter=selected.config.interpreter.binary,
            interpreter_version=selected.actual,
            pack_id=pack[0],
            runtime_id=usable.runtime.id,
            runtime_ref=usable.runtime.ref,
            runtime_version_id=selected.version_id,
            version=selected.version,
            **asking,
        )

    @property
    def manifests(self) -> tuple[DependencySpec, ...]:
        """The manifests that the runtime knows, in the order in which they are preferred."""
        known = self.config.dependencies
        return () if known is None else (known, *known.alternatives)

    @property
    def dependencies(self) -> DependencySpec | None:
        """The manifest that the pack brings and how it is installed; the first known one where it brings none."""
        known = self.manifests
        here = (spec for spec in known if (self.pack_dir / spec.manifest_file).is_file())
        return next(here, known[0] if known else None)

    @property
    def isolated(self) -> bool:
        """Whether the runtime's definition asks for an environment at all."""
        environment = self.config.environment
        return environment is not None and environment.env_type != "none"

    @property
    def asked_to_end(self) -> bool:
        """Whether the one who asked doesn't want it any more."""
        return self.cancelled() or (self.stop is not None and self.stop.cause is not None)

    def __str__(self) -> str:
        return f"{self.pack_ref}/{self.dir_name}"


@dataclass(frozen=True)
class PreparedEnvironment:
    """What an execution runs with.

    ``env_dir`` is the directory that ``{env_dir}`` stands for; it stays the same for the whole execution, whatever is
    rebuilt meanwhile. None means the machine's own interpreter. ``path`` is the stable name that points to it.
    ``env_vars`` have their templates filled in; ``prepend`` and ``append`` are still to be applied. ``unset`` are the
    variables of the image that would point the language elsewhere, ``arguments`` go right behind the interpreter.
    """

    env_dir: Path | None
    path: Path | None
    interpreter: str
    env_vars: Mapping[str, EnvVar]
    warning: str | None = None
    unset: frozenset[str] = frozenset()
    arguments: tuple[str, ...] = ()
