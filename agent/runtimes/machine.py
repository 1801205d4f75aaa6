"""What deciding about runtimes needs to know of this machine: its environment and the interpreters that were found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.process.child_env import container_environment
from agent.runtimes.detected import DetectedInterpreter

VERIFY_TIMEOUT = 10.0


@dataclass(frozen=True)
class Machine:
    """``env`` is what commands run in, ``detected`` the interpreter of each language, ``timeout`` seconds a command."""

    env: Mapping[str, str]
    detected: Mapping[str, DetectedInterpreter]
    timeout: float = VERIFY_TIMEOUT

    @classmethod
    def of(
        cls,
        detected: Sequence[DetectedInterpreter] = (),
        *,
        env: Mapping[str, str] | None = None,
        timeout: float = VERIFY_TIMEOUT,
    ) -> Machine:
        """Describe this machine; ``env`` defaults to the container's own environment."""
        environment = container_environment() if env is None else env
        return cls(environment, {item.name: item for item in detected}, timeout)

    @property
    def search_path(self) -> str | None:
        """Where programs are looked for."""
        return self.env.get("PATH")
