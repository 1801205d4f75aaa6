"""The values of this package: a pack as its files describe it, and what is wrong with it (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.runtimes.definition import RuntimeDefinition


@dataclass(frozen=True, order=True)
class Problem:
    """One complaint about one place of a pack.

    ``file`` is relative to the pack, ``line`` counts from 1, ``key`` is the dotted path of the key (may be empty).
    """

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        """Write it as compilers do, in one line that is safe on a terminal."""
        text = f"{self.file}:{self.line}: " + (f"{self.key}: " if self.key else "") + self.message
        return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


@dataclass(frozen=True)
class WorkerRequirements:
    """Which workers may run something: the JSON of the three placement columns."""

    selector: Mapping[str, Any] = field(default_factory=dict)
    tolerations: tuple[Any, ...] = ()
    affinity: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Retention:
    """How long logs and artifacts are kept; ``policy`` is ``versions``, ``days``, ``hours`` or ``minutes``."""

    log_policy: str | None = None
    log_limit: int | None = None
    artifact_policy: str | None = None
    artifact_limit: int | None = None


@dataclass(frozen=True)
class PackAction:
    """One file of ``actions/``.

    ``runner_type`` is as written; the loader finds the runtime. ``source`` is the file that describes it.
    """

    ref: str
    label: str
    runner_type: str
    entrypoint: str
    source: str
    runner_line: int = 1
    description: str | None = None
    param_schema: Mapping[str, Any] | None = None
    out_schema: Mapping[str, Any] | None = None
    parameter_delivery: str = "stdin"
    parameter_format: str = "json"
    output_format: str = "text"
    timeout_seconds: int | None = None
    max_retries: int = 0
    retry_abandoned: bool = False
    runtime_version_constraint: str | None = None
    required_worker_runtimes: Mapping[str, str] = field(default_factory=dict)
    accesses_mcp: bool = False
    permission_set_refs: tuple[str, ...] = ()
    placement: WorkerRequirements = field(default_factory=WorkerRequirements)
    retention: Retention = field(default_factory=Retention)


@dataclass(frozen=True)
class Sensor:
    """One file of ``sensors/``; ``triggers`` are the refs of the triggers that it fires."""

    ref: str
    label: str
    runner_type: str
    entrypoint: str
    source: str
    runner_line: int = 1
    description: str | None = None
    enabled: bool = True
    param_schema: Mapping[str, Any] | None = None
    config: Mapping[str, Any] | None = None
    triggers: tuple[str, ...] = ()
    runtime_version_constraint: str | None = None
    placement: WorkerRequirements = field(default_factory=WorkerRequirements)
    retention: Retention = field(default_factory=Retention)


@dataclass(frozen=True)
class Trigger:
    """One file of ``triggers/``."""

    ref: str
    label: str
    source: str
    description: str | None = None
    enabled: bool = True
    param_schema: Mapping[str, Any] | None = None
    out_schema: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class PackRule:
    """One file of ``rules/``: which trigger starts which action.

    ``condition_line`` and ``parameters_line`` are where the file says so; whoever knows their language checks them.
    """

    ref: str
    label: str
    source: str
    trigger: str
    action: str
    description: str | None = None
    enabled: bool = True
    conditions: Any = None
    action_params: Mapping[str, Any] = field(default_factory=dict)
    trigger_params: Mapping[str, Any] = field(default_factory=dict)
    permission_set_refs: tuple[str, ...] | None = None
    condition_line: int = 1
    parameters_line: int = 1


@dataclass(frozen=True)
class PermissionSet:
    """One file of ``permission_sets/``: ``grants`` are the JSON of the column."""

    ref: str
    label: str
    source: str
    description: str | None = None
    grants: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Manifest:
    """``pack.yaml``."""

    ref: str
    label: str
    version: str
    description: str | None = None
    conf_schema: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    runtime_deps: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    is_standard: bool = False


@dataclass(frozen=True)
class Pack:
    """A whole pack.

    ``unread`` are refs of actions that this program doesn't register (workflows) and so must not remove either.
    """

    directory: Path
    manifest: Manifest
    runtimes: tuple[RuntimeDefinition, ...] = ()
    actions: tuple[PackAction, ...] = ()
    sensors: tuple[Sensor, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    rules: tuple[PackRule, ...] = ()
    permission_sets: tuple[PermissionSet, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        """The pack's own ref."""
        return self.manifest.ref


@dataclass(frozen=True)
class Parsed:
    """What reading a pack gave: ``pack`` is None when there are ``problems``; ``warnings`` don't prevent anything."""

    pack: Pack | None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
