"""Environments made by the commands of the runtime's YAML alone: any language, without code of ours."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath

from agent.environments.backend import BuildSite

#: How older definitions hide that an installer failed (promise: a failed installation is a failure).
_HIDES_FAILURE = re.compile(r"(\s*2>\s*/dev/null)?\s*\|\|\s*(true|:)\s*$")


class Declared:
    """Runs ``create_command`` and ``install_command`` as they are declared."""

    label = "environment"

    def local_inputs(self, pack_dir: Path, manifest: Path) -> Iterable[Path]:
        """Know of none: only the installer understands its manifest."""
        return ()

    def create_command(self, site: BuildSite) -> Sequence[str]:
        """Return the declared command, run by this machine's own interpreter where it names the runtime's.

        Promise: the machine's own interpreter.
        """
        environment = site.request.config.environment
        command = () if environment is None else environment.create_command
        if command and self._is_interpreter(command[0], site):
            return (site.request.interpreter, *command[1:])
        return command

    def install_command(self, site: BuildSite) -> Sequence[str]:
        """Return the declared command without an ending such as ``2>/dev/null || true``."""
        dependencies = site.request.config.dependencies
        command = () if dependencies is None else dependencies.install_command
        if command and self._is_interpreter(command[0], site):
            return ("{interpreter}", *command[1:])
        if len(command) == 3 and command[1] == "-c":
            return (*command[:2], _HIDES_FAILURE.sub("", command[2]))
        return command

    def stage(self, site: BuildSite) -> None:
        """Make sure that the directory exists, whatever the command made of it."""
        site.env_dir.mkdir(parents=True, exist_ok=True)

    def variables(self, site: BuildSite) -> Mapping[str, str]:
        """Need none."""
        return {}

    def program_folders(self, site: BuildSite) -> Sequence[str]:
        """Put the interpreter's own folder first: its package manager lies there."""
        folder = os.path.dirname(site.request.interpreter)
        return (folder,) if folder else ()

    def remedy(self, site: BuildSite, output: str) -> str | None:
        """Know of none."""
        return None

    def _is_interpreter(self, word: str, site: BuildSite) -> bool:
        names = {site.request.config.interpreter.binary, PurePath(site.request.interpreter).name}
        return word in names
