"""Which runtimes a service offers: what the environment says, else the configuration, else what is found here."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from agent.runtimes.detected import DetectedInterpreter
from agent.runtimes.languages import LANGUAGES, Language
from agent.runtimes.machine import Machine
from agent.runtimes.model import Runtime
from agent.runtimes.names import normalize_runtime_name
from agent.runtimes.verification import verify_runtimes

log = logging.getLogger(__name__)

Role = Literal["worker", "sensor"]

#: The variable of each role that outranks everything else.
VARIABLES: Mapping[Role, str] = {"worker": "ATTUNE_WORKER_RUNTIMES", "sensor": "ATTUNE_SENSOR_RUNTIMES"}


class Tier(StrEnum):
    """Where an answer comes from, highest first."""

    ENVIRONMENT = "environment"
    CONFIGURATION = "configuration"
    DETECTION = "detection"
    DATABASE = "database"


@dataclass(frozen=True)
class OfferedRuntimes:
    """``runtimes`` as they are advertised, and ``source``: the variable, the key or the place that they come from.

    ``allowed`` is the filter that an operator set; what was merely found is none (promise: the operator's list wins).
    """

    runtimes: tuple[str, ...]
    tier: Tier
    source: str
    allowed: tuple[str, ...] | None = None


class RuntimeDetector:
    """Answers for one role; the same rules for workers and sensor services."""

    def __init__(self, role: Role, *, override: str | None, capabilities: Mapping[str, Any]) -> None:
        """Look at nothing yet.

        Args:
            role: whose runtimes.
            override: value of the role's variable, None when it isn't set; an empty one means "none".
            capabilities: section ``capabilities`` of the role's configuration.
        """
        self._role: Role = role
        self._override = override
        self._capabilities = capabilities

    def operator_choice(self) -> OfferedRuntimes | None:
        """Return what an operator asked for in the environment or the configuration, None when nobody did."""
        variable, key = VARIABLES[self._role], f"{self._role}.capabilities.runtimes"
        if self._override is not None:
            names = self._canonical(self._override.split(","))
            if not names:
                log.warning("%s is set but names no runtime: this %s runs nothing", variable, self._role)
            return OfferedRuntimes(names, Tier.ENVIRONMENT, variable, names)
        listed = self._capabilities.get("runtimes")
        if listed is None:
            return None
        names = self._canonical(item for item in listed if isinstance(item, str)) if isinstance(listed, list) else ()
        if not names:
            log.warning("%s names no runtime and is ignored; set %s empty to run nothing", key, variable)
            return None
        return OfferedRuntimes(names, Tier.CONFIGURATION, key, names)

    def families(self) -> tuple[Language, ...]:
        """Return the languages to look for on this machine: those that the operator's choice leaves."""
        choice = self.operator_choice()
        wanted = None if choice is None else {normalize_runtime_name(name) for name in choice.runtimes}
        return tuple(family for family in LANGUAGES if wanted is None or family.name in wanted)

    def from_detection(self, detected: Sequence[DetectedInterpreter], described: Sequence[str] = ()) -> OfferedRuntimes:
        """Return what an agent offers: the operator's choice, else what was found, and ``native``.

        ``described`` are runtimes of other languages that packs describe and that this machine has.
        """
        choice = self.operator_choice()
        if choice is None:
            always = ("native", "builtin") if self._role == "sensor" else ("native",)
            names = self._canonical((*(item.name for item in detected), *described, *always))
            return self._said(OfferedRuntimes(names, Tier.DETECTION, "interpreters on this machine"))
        found = {item.name for item in detected}
        for name in (name for name in choice.runtimes if name not in found and name != "native"):
            if any(family.name == name for family in LANGUAGES):
                log.warning("%s names %s, but no interpreter for it was found here", choice.source, name)
            elif name not in described:
                log.warning("%s names %s, which is not a known runtime%s", choice.source, name, _meant(name))
        return self._said(choice)

    def from_database(self, load: Callable[[], Sequence[Runtime]], machine: Machine) -> OfferedRuntimes:
        """Return what a full worker offers: the operator's choice, else the stored runtimes that this machine has.

        Raises:
            DatabaseError: the runtimes are needed and can't be read.
        """
        choice = self.operator_choice()
        if choice is not None:
            return self._said(choice)
        log.info("Detecting %s capabilities...", self._role)
        rows = [row for row in load() if self._role == "sensor" or not row.ref.startswith("core.sensor.")]
        names = []
        for row, check in zip(rows, verify_runtimes(rows, machine), strict=True):
            if check.available:
                log.info("✓ Runtime available: %s (%s)", row.name, row.ref)
                names.append(row.name.lower())
            else:
                log.info("runtime not available: %s (%s): %s", row.name, row.ref, check.reason)
        if self._role == "worker" and "native" not in map(normalize_runtime_name, names):
            names.append("native")
        return self._said(OfferedRuntimes(tuple(dict.fromkeys(names)), Tier.DATABASE, "runtimes in the database"))

    def _canonical(self, names: Any) -> tuple[str, ...]:
        """Canonical names in order, without blanks and duplicates; among sensors ``builtin`` stays itself.

        Promise: native is always there.
        """
        plain = (name.strip().lower() for name in names if name.strip())
        kept = "builtin" if self._role == "sensor" else None
        return tuple(dict.fromkeys(name if name == kept else normalize_runtime_name(name) for name in plain))

    def _said(self, offered: OfferedRuntimes) -> OfferedRuntimes:
        log.info("Detected available runtimes: %s (from %s)", list(offered.runtimes), offered.source)
        return offered


def _meant(name: str) -> str:
    """Name the runtime that was probably meant."""
    close = difflib.get_close_matches(name, [language.name for language in LANGUAGES], n=1)
    return f"; did you mean {close[0]}?" if close else ""
