"""What each kind of environment has to know about itself; the manager and the builder know nothing of any kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from agent.environments.image_variables import ImageVariables
from agent.environments.model import EnvironmentRequest
from agent.settings import NetworkSettings


@dataclass(frozen=True)
class Installers:
    """What an operator settled for all builds; ``uv`` is the program that stands in for venv and pip, if any."""

    cache_dir: Path
    network: NetworkSettings = field(default_factory=NetworkSettings)
    uv: str | None = None


@dataclass(frozen=True)
class BuildSite:
    """Where an environment is being built and for whom.

    ``source`` is the directory that the installer works in: a copy of the pack, or the pack where nothing is written.
    ``manifest`` lies in it; None: nothing has to be installed.
    """

    request: EnvironmentRequest
    env_dir: Path
    manifest: Path | None
    source: Path
    installers: Installers


class Backend(Protocol):
    """One kind of environment (``environment.env_type``)."""

    @property
    def label(self) -> str:
        """What people call it: ``virtualenv``."""

    def image_variables(self, request: EnvironmentRequest) -> ImageVariables:
        """Return which variables of the image don't count."""

    def lock_files(self, request: EnvironmentRequest, manifest: Path) -> Sequence[str]:
        """Name files beside the manifest that decide what its installer installs."""

    def local_inputs(self, pack_dir: Path, manifest: Path) -> Iterable[Path]:
        """Name files and folders of the pack that the manifest refers to: their content decides what is installed."""

    def declares_nothing(self, manifest: Path) -> bool:
        """Whether the manifest names nothing to install: comments only, for instance."""

    def works_in_copy(self, request: EnvironmentRequest, manifest: Path) -> bool:
        """Whether the installer needs a directory that it may write to."""

    def source_dir(self, env_dir: Path) -> Path:
        """Return where the copy of the pack lies."""

    def keeps_source(self, site: BuildSite) -> bool:
        """Whether what was installed refers to the copy of the pack."""

    def create_command(self, site: BuildSite) -> Sequence[str]:
        """Return the command that creates the empty environment, placeholders not yet filled in."""

    def install_command(self, site: BuildSite) -> Sequence[str]:
        """Return the command that installs the manifest, placeholders not yet filled in."""

    def check_commands(self, site: BuildSite, installed_by: Sequence[str]) -> Sequence[Sequence[str]]:
        """Return the commands that must succeed before the build counts as ready.

        ``installed_by`` is what ``install_command`` returned: at least one word.
        """

    def check(self, site: BuildSite) -> str | None:
        """Look at what was installed; return what is missing, None when all is there."""

    def stage(self, site: BuildSite) -> None:
        """Put into the environment what the installer reads there.

        Raises:
            EnvironmentFailed: the pack names something that it may not.
            OSError: a file can't be copied.
        """

    def variables(self, site: BuildSite) -> Mapping[str, str]:
        """Return what the commands need in their environment beyond the container's own."""

    def run_variables(self, site: BuildSite) -> Mapping[str, str]:
        """Return what actions need beyond the runtime's ``env_vars``; kept with the build."""

    def run_caches(self) -> Sequence[str]:
        """Name the variables of actions that point to a cache: they are left out where it can't be written."""

    def run_arguments(self, site: BuildSite) -> Sequence[str]:
        """Return what goes between the interpreter and its own arguments; kept with the build."""

    def program_folders(self, site: BuildSite) -> Sequence[str]:
        """Return the folders that go before the container's PATH."""

    def remedy(self, site: BuildSite, output: str) -> str | None:
        """Say what to do about a failure that is known by its output."""
