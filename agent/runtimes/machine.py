"""What deciding about runtimes needs to know of this machine: its environment and the interpreters that were found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent.process.child_env import container_environment
from agent.runtimes.detected import DetectedInterpreter, Detection
from agent.runtimes.probe import is_program, programs

VERIFY_TIMEOUT = 10.0


@dataclass(frozen=True)
class Machine:
    """``env`` is what commands run in, ``detected`` the interpreter of each language, ``timeout`` seconds a command.

    ``versions`` are all interpreters of a language, that one first; ``unusable`` are paths that run nothing.
    """

    env: Mapping[str, str]
    detected: Mapping[str, DetectedInterpreter]
    timeout: float = VERIFY_TIMEOUT
    versions: Mapping[str, tuple[DetectedInterpreter, ...]] = field(default_factory=dict)
    unusable: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        detected: Detection | Sequence[DetectedInterpreter] = (),
        *,
        env: Mapping[str, str] | None = None,
        timeout: float = VERIFY_TIMEOUT,
    ) -> Machine:
        """Describe this machine; ``env`` defaults to the container's own environment."""
        environment = container_environment() if env is None else env
        detection = detected if isinstance(detected, Detection) else Detection(tuple(detected))
        versions: dict[str, tuple[DetectedInterpreter, ...]] = {}
        for item in detection.found:
            versions[item.name] = (*versions.get(item.name, ()), item)
        first = {item.name: item for item in detection.first}
        return cls(environment, first, timeout, versions, frozenset(item.path for item in detection.unusable))

    def find(self, name: str) -> str | None:
        """Return where the program ``name`` is: the first hit on PATH that runs, version managers' shims followed."""
        if "/" in name:
            return name if is_program(name) and name not in self.unusable else None
        hits = programs(name, self.search_path, self.env)
        return next((path for path in hits if path not in self.unusable), None)

    @property
    def search_path(self) -> str | None:
        """Where programs are looked for."""
        return self.env.get("PATH")
