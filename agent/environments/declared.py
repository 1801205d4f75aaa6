"""Environments made by the commands of the runtime's YAML alone: any language, without code of ours."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath

from agent.environments.backend import BuildSite
from agent.environments.image_variables import ImageVariables, of_kind
from agent.environments.model import EnvironmentRequest
from agent.environments.source_copy import SOURCE
from agent.environments.template import fill
from agent.reading.regular_files import read_regular
from agent.runtimes.model import EnvironmentSpec

#: How older definitions hide that an installer failed (promise: a failed installation is a failure).
_HIDES_FAILURE = re.compile(r"(\s*2>\s*/dev/null)?\s*\|\|\s*(true|:)\s*$")
#: What a package that has to be compiled says on a machine without compiler or make, in any language.
_NO_COMPILER = re.compile(
    r"\b(?:cc|gcc|g\+\+|c\+\+|make)['\"]?:? (?:(?:command )?not found|failed: No such file)"
    r"|not found: make|unable to execute '?gcc|need to have 'make'|You have to install development tools"
)
#: Files beside a manifest that decide what its installer installs, for definitions that name none.
LOCK_FILES: Mapping[str, tuple[str, ...]] = {
    "package.json": ("package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", ".npmrc"),
    "Gemfile": ("Gemfile.lock",),
    "go.mod": ("go.sum", "go.work", "vendor/modules.txt"),
    "cpanfile": ("cpanfile.snapshot",),
    "pyproject.toml": ("uv.lock", "poetry.lock", "pdm.lock"),
    "Pipfile": ("Pipfile.lock",),
    "composer.json": ("composer.lock",),
}
#: A manifest that is longer is taken for one that says something.
_MOST_BYTES = 4 * 1024 * 1024


class Declared:
    """Runs ``create_command``, ``install_command`` and ``check_command`` as they are declared."""

    label = "environment"

    def image_variables(self, request: EnvironmentRequest) -> ImageVariables:
        """Return the kind's own entry of the table with what the YAML adds."""
        declared = spec_of(request)
        known = of_kind(declared.env_type)
        build = (*known.build, *declared.unset_for_build)
        return ImageVariables(build, (*known.run, *declared.unset), known.keep)

    def lock_files(self, request: EnvironmentRequest, manifest: Path) -> Sequence[str]:
        """Return what the YAML names and what the kind knows."""
        return (*spec_of(request).lock_files, *LOCK_FILES.get(manifest.name, ()))

    def local_inputs(self, pack_dir: Path, manifest: Path) -> Iterable[Path]:
        """Know of none: only the installer understands its manifest."""
        return ()

    def declares_nothing(self, manifest: Path) -> bool:
        """Whether it is blank, but for lines that begin with ``#``."""
        lines = read_text(manifest).removeprefix("\ufeff").splitlines()
        return all(not line.strip() or line.lstrip().startswith("#") for line in lines)

    def works_in_copy(self, request: EnvironmentRequest, manifest: Path) -> bool:
        """Nobody knows what an installer writes."""
        return True

    def source_dir(self, env_dir: Path) -> Path:
        """Return a directory that no installer uses."""
        return env_dir / SOURCE

    def keeps_source(self, site: BuildSite) -> bool:
        """Keep it where the YAML says so."""
        return spec_of(site.request).keep_source

    def create_command(self, site: BuildSite) -> Sequence[str]:
        """Return the declared command, run by this machine's own interpreter where it names the runtime's."""
        command = spec_of(site.request).create_command
        if command and self._is_interpreter(command[0], site):
            return (site.request.interpreter, *command[1:])
        return command

    def install_command(self, site: BuildSite) -> Sequence[str]:
        """Return the declared command without an ending such as ``2>/dev/null || true``."""
        dependencies = site.request.dependencies
        command = () if dependencies is None else dependencies.install_command
        if command and self._is_interpreter(command[0], site):
            return ("{interpreter}", *command[1:])
        if len(command) >= 3 and command[1] == "-c":
            return (*command[:2], _HIDES_FAILURE.sub("", command[2]), *command[3:])
        return command

    def check_commands(self, site: BuildSite, installed_by: Sequence[str]) -> Sequence[Sequence[str]]:
        """Return the declared one."""
        command = spec_of(site.request).check_command
        if command and self._is_interpreter(command[0], site):
            return [("{interpreter}", *command[1:])]
        return [command] if command else []

    def check(self, site: BuildSite) -> str | None:
        """Know of nothing."""
        return None

    def stage(self, site: BuildSite) -> None:
        """Make sure that the directory exists, whatever the command made of it."""
        site.env_dir.mkdir(parents=True, exist_ok=True)

    def variables(self, site: BuildSite) -> Mapping[str, str]:
        """Return ``build_env`` of the YAML."""
        places = {"env_dir": str(site.env_dir), "pack_dir": str(site.source)}
        places |= {"cache_dir": str(site.installers.cache_dir), "interpreter": site.request.interpreter}
        return {name: fill(value, places) for name, value in spec_of(site.request).build_env.items()}

    def run_variables(self, site: BuildSite) -> Mapping[str, str]:
        """Need none."""
        return {}

    def run_caches(self) -> Sequence[str]:
        """Know of none."""
        return ()

    def run_arguments(self, site: BuildSite) -> Sequence[str]:
        """Need none."""
        return ()

    def program_folders(self, site: BuildSite) -> Sequence[str]:
        """Put the interpreter's own folder first: its package manager lies there."""
        folder = os.path.dirname(site.request.interpreter)
        return (folder,) if folder else ()

    def remedy(self, site: BuildSite, output: str) -> str | None:
        """Explain a machine without compiler."""
        if _NO_COMPILER.search(output):
            return "a package has to be compiled; on Debian and Ubuntu: apt-get install build-essential"
        return None

    def _is_interpreter(self, word: str, site: BuildSite) -> bool:
        names = {site.request.config.interpreter.binary, PurePath(site.request.interpreter).name}
        return word in names


def spec_of(request: EnvironmentRequest) -> EnvironmentSpec:
    """Return ``environment`` of the runtime's definition."""
    environment = request.config.environment
    return EnvironmentSpec("none") if environment is None else environment


def read_text(path: Path) -> str:
    """Return a file of the pack, whatever its bytes; "" when it can't be read or is no ordinary file."""
    try:
        return read_regular(path, _MOST_BYTES).decode("utf-8-sig", "replace")
    except (OSError, ValueError):
        return ""
