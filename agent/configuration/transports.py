"""Which way the files of packs and of executions go: through a volume that is shared, or over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agent.configuration.environment import Variables
from agent.paths import ARTIFACTS_SENTINEL, PACKS_SENTINEL
from agent.settings import Settings

Transport = Literal["volume", "api"]


@dataclass(frozen=True)
class Transports:
    """What ``auto`` comes to on this machine. ``url`` is that of the server, None where nobody has named it."""

    packs: Transport
    artifacts: Transport
    url: str | None


def transports_of(settings: Settings, variables: Variables) -> Transports:
    """Decide: ``auto`` is a volume where the server's sentinel lies in the directory, or where no API is named."""
    packs, artifacts = settings.packs_base_dir / PACKS_SENTINEL, settings.artifacts_dir / ARTIFACTS_SENTINEL

    def chosen(configured: Literal["auto", "volume", "api"], shared: bool) -> Transport:
        if configured != "auto":
            return configured
        return "volume" if shared or variables.api_url is None else "api"

    return Transports(
        chosen(settings.packs.transport, packs.exists()),
        chosen(settings.artifacts.transport, artifacts.exists()),
        variables.api_url or settings.server.public_url,
    )
