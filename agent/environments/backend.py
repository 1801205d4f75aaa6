"""What each kind of environment has to know about itself; the manager and the builder know nothing of any kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent.environments.model import EnvironmentRequest


@dataclass(frozen=True)
class BuildSite:
    """Where an environment is being built and for whom."""

    request: EnvironmentRequest
    env_dir: Path
    manifest: Path | None


class Backend(Protocol):
    """One kind of environment (``environment.env_type``)."""

    @property
    def label(self) -> str:
        """What people call it: ``virtualenv``."""

    def local_inputs(self, pack_dir: Path, manifest: Path) -> Iterable[Path]:
        """Name files and folders of the pack that the manifest refers to: their content decides what is installed."""

    def create_command(self, site: BuildSite) -> Sequence[str]:
        """Return the command that creates the empty environment, placeholders not yet filled in."""

    def install_command(self, site: BuildSite) -> Sequence[str]:
        """Return the command that installs the manifest, placeholders not yet filled in."""

    def stage(self, site: BuildSite) -> None:
        """Put into the environment what the installer reads there.

        Raises:
            EnvironmentFailed: the pack names something that it may not.
            OSError: a file can't be copied.
        """

    def variables(self, site: BuildSite) -> Mapping[str, str]:
        """Return what the commands need in their environment beyond the container's own."""

    def program_folders(self, site: BuildSite) -> Sequence[str]:
        """Return the folders that go before the container's PATH."""

    def remedy(self, site: BuildSite, output: str) -> str | None:
        """Say what to do about a failure that is known by its output."""
