"""Which runtime a ``runner_type`` means (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from agent.runtimes.names import ALIASES, normalize_runtime_name

_CORE_REFS = {"shell": "core.shell", "python": "core.python", "node": "core.nodejs", "native": "core.native"}
"""The reference maps these names to these refs before it looks anywhere else."""


class NamedRuntime(Protocol):
    """What the search needs to know of a runtime."""

    @property
    def ref(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def aliases(self) -> Sequence[str]: ...


R = TypeVar("R", bound=NamedRuntime)


def find_runtime(runner_type: str, runtimes: Iterable[R]) -> R | None:
    """Return the runtime that ``runner_type`` means, None when there is none.

    The reference's order - the fixed names, then a ref, then a name - and after it aliases, so that ``golang`` is
    found as well. ``auto.*`` rows come last: a pack's own definition wins over one that an agent added.
    """
    ordered = sorted(runtimes, key=lambda runtime: (runtime.ref.startswith("auto."), runtime.ref))
    wanted = runner_type.strip().lower()
    canonical = normalize_runtime_name(wanted)
    by_ref: Mapping[str, R] = {runtime.ref: runtime for runtime in reversed(ordered)}
    for ref in (_CORE_REFS.get(canonical, ""), wanted):
        if ref in by_ref:
            return by_ref[ref]
    for runtime in ordered:
        if runtime.name.lower() == wanted:
            return runtime
    for runtime in ordered:
        names = {normalize_runtime_name(name) for name in (*runtime.aliases, runtime.name)}
        if canonical in names:
            return runtime
    return None


def is_known_language(runner_type: str) -> bool:
    """Whether it is a name of one of the runtimes that the core pack brings."""
    return normalize_runtime_name(runner_type) in ALIASES
