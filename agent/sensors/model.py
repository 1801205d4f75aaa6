"""The values of the sensor service: what its rows say of sensors, and what a child is told (pure)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agent.placement.demand import Demand


@dataclass(frozen=True)
class Told:
    """What a child is started with: it is started again when this is different from what it got.

    ``rules`` is a digest of its rules, None for a sensor that follows them itself.
    """

    entrypoint: str
    runtime: int
    constraint: str
    config: str
    triggers: tuple[str, ...]
    pack: str
    rules: str | None

    @property
    def digest(self) -> str:
        """Something short that differs where this does."""
        return hashlib.sha256(repr(self).encode("utf-8", "backslashreplace")).hexdigest()[:16]


@dataclass(frozen=True)
class Sensor:
    """A sensor that somebody needs: it is on, and a rule of one of its triggers is.

    ``rules`` counts these rules, ``digest`` changes with whatever the child is told of them; ``instances`` are they
    themselves, where they were asked for. ``config`` is the text of a JSON object, ``pack_stamp`` changes whenever the
    pack is registered again, ``stamp`` whenever this row changes.
    """

    id: int
    ref: str
    pack: int | None
    pack_ref: str
    entrypoint: str
    runtime: int
    runtime_name: str
    runtime_aliases: Sequence[str] | None
    constraint: str | None
    config: Any
    selector: Any
    tolerations: Any
    affinity: Any
    log_policy: str | None
    log_limit: int | None
    triggers: Sequence[str]
    rules: int
    digest: str
    stamp: str
    pack_stamp: str
    config_text: str
    instances: str | None = None

    @property
    def follows_rules(self) -> bool:
        """Whether the child hears of changed rules, and renews its token, itself."""
        return isinstance(self.config, dict) and self.config.get("reload") == "self"

    @property
    def told(self) -> Told:
        """What a child that is started now is told."""
        return Told(
            self.entrypoint,
            self.runtime,
            (self.constraint or "").strip(),
            self.config_text,
            tuple(self.triggers),
            self.pack_stamp,
            None if self.follows_rules else self.digest,
        )

    @property
    def demand(self) -> Demand:
        """What it asks of a service that is to run it."""
        return Demand(
            runtime_names=(*(self.runtime_aliases or ()), self.runtime_name),
            version_constraint=self.constraint,
            selector=self.selector,
            tolerations=self.tolerations,
            affinity=self.affinity,
        )


@dataclass(frozen=True)
class ProcessRow:
    """The columns of ``sensor_process`` that the service writes; ``reason`` goes into ``meta``."""

    sensor: int
    sensor_ref: str
    status: str
    pid: int | None = None
    consecutive_failures: int = 0
    last_exit_code: int | None = None
    last_signal: int | None = None
    last_started_at: datetime | None = None
    last_stopped_at: datetime | None = None
    next_restart_at: datetime | None = None
    stderr_excerpt: str | None = None
    active_rule_count: int = 0
    last_alerted_failure_count: int = 0
    reason: str | None = None
    told: str | None = None
