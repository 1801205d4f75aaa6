"""Python: a virtual environment with the packages of a requirements file or a ``pyproject.toml``.

``uv`` makes it where the machine has one and the runtime declares nothing but ``venv`` and ``pip``: the result is the
same, in a tenth of the time.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from agent.environments.backend import BuildSite
from agent.environments.declared import Declared, read_text
from agent.environments.fingerprint import LARGEST_MANIFEST
from agent.environments.model import EnvironmentRequest
from agent.environments.pip_settings import pip_variables, uv_variables
from agent.environments.requirements_file import read_requirements
from agent.process.child_env import container_environment
from agent.reading.regular_files import open_regular, read_regular

_PYTHON = re.compile(r"python[\d.]*t?")
_NO_VENV = re.compile(r"No module named '?(venv|ensurepip)|ensurepip is not\s+available|ensurepip.*returned non-zero")
_NO_PIP = re.compile(r"No module named '?pip")
_BROKEN_INTERPRETER = re.compile(r"error while loading shared libraries: (\S+):")
#: What a pyproject.toml without a build system wants is written here, in the copy of the pack.
_WANTED = ".attune-requirements.txt"
#: Look where a distribution is, from inside: it has to be below the environment. Python 3.7 can't say; then pip's own
#: check is all.
_LOOK = """
import os, sys
try:
    import importlib.metadata as metadata
except ImportError:
    sys.exit()
missing = []
for name in sys.argv[1:]:
    try:
        place = os.path.realpath(str(metadata.distribution(name).locate_file("")))
    except metadata.PackageNotFoundError:
        missing.append(name + " is not in the environment")
    else:
        if not (place + os.sep).startswith(os.path.realpath(sys.prefix) + os.sep):
            missing.append(name + " is in " + place)
sys.exit("; ".join(missing) or 0)
"""


class Virtualenv(Declared):
    """``env_type: virtualenv``."""

    label = "virtualenv"

    def local_inputs(self, pack_dir: Path, manifest: Path) -> Iterable[Path]:
        """Follow ``-r`` and ``-c``, and name local packages such as ``./lib/greeting``."""
        if manifest.name == "pyproject.toml":
            return [pack_dir] if _builds(manifest) else []
        return _named_by(manifest.resolve(), pack_dir.resolve(), set())

    def declares_nothing(self, manifest: Path) -> bool:
        """Whether a requirements file has no line that counts, or a ``pyproject.toml`` no dependency."""
        if manifest.name == "pyproject.toml":
            return not _builds(manifest) and not _dependencies(manifest)
        return manifest.suffix == ".txt" and not any(read_requirements(read_text(manifest)))

    def works_in_copy(self, request: EnvironmentRequest, manifest: Path) -> bool:
        """Whether something is built: setuptools writes ``build`` and ``egg-info`` beside what it builds."""
        if manifest.suffix != ".txt":
            return True
        pack = request.pack_dir.resolve()
        return any(path.is_dir() for path in _named_by(manifest.resolve(), pack, set(), links=False))

    def keeps_source(self, site: BuildSite) -> bool:
        """Keep what was installed in place (``-e``)."""
        editable = re.compile(r"^\s*(-e|--editable)\b", re.MULTILINE)
        return super().keeps_source(site) or bool(site.manifest and editable.search(read_text(site.manifest)))

    def create_command(self, site: BuildSite) -> Sequence[str]:
        """Return the declared command; uv's where it does the same, and links for a Python that can't be copied."""
        declared = super().create_command(site)
        if site.installers.uv and _is_plain_venv(declared):
            return (site.installers.uv, "venv", "--no-project", "--python", site.request.interpreter, "{env_dir}")
        if "--copies" in declared and _is_relocatable(site.request.interpreter):
            return tuple("--symlinks" if word == "--copies" else word for word in declared)
        return declared

    def install_command(self, site: BuildSite) -> Sequence[str]:
        """Return the declared command, uv's where it does the same."""
        declared = super().install_command(site)
        if site.manifest is not None and site.manifest.name == "pyproject.toml":
            declared = self._of_project(site, declared)
        if site.installers.uv and tuple(declared[1:4]) == ("-m", "pip", "install"):
            python = ("--python", "{interpreter}")
            return (site.installers.uv, "pip", "install", *python, *declared[4:])
        return declared

    def check_commands(self, site: BuildSite, installed_by: Sequence[str]) -> Sequence[Sequence[str]]:
        """Ask the environment's own interpreter where everything is that was named, and the installer what is missing.

        An index that lost a dependency, or a wheel that is not meant for this machine, only shows in the second.
        """
        declared = super().check_commands(site, installed_by)
        if declared or site.manifest is None or not {"pip", "install"} <= set(installed_by):
            return declared
        words = installed_by[: installed_by.index("install")]
        names: list[str] = []
        if site.manifest.suffix == ".txt":
            names = sorted({entry.name for entry in read_requirements(read_text(site.manifest)) if entry.name})
        look = [("{interpreter}", "-I", "-c", _LOOK, *names)] if names else []
        python = ("--python", "{interpreter}") if site.installers.uv in words else ()
        return [*look, (*words, "check", *python)]

    def variables(self, site: BuildSite) -> Mapping[str, str]:
        """Keep pip on its task, whatever the image's own configuration says about user or target installs."""
        container = container_environment()
        quiet = {"PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_CONFIG_FILE": "/dev/null"}
        return {
            **pip_variables(container),
            **(uv_variables(container) if site.installers.uv else {}),
            **quiet,
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_NO_CONFIG": "1",
            **super().variables(site),
        }

    def program_folders(self, site: BuildSite) -> Sequence[str]:
        """Put the environment's own programs before everything."""
        return (str(site.env_dir / "bin"), *super().program_folders(site))

    def remedy(self, site: BuildSite, output: str) -> str | None:
        """Explain a Python that was packaged without what a virtual environment needs."""
        library = _BROKEN_INTERPRETER.search(output)
        if library:
            return f"a copy of {site.request.interpreter} doesn't find {library[1]}: use --symlinks in create_command"
        if _NO_VENV.search(output):
            return (
                f"{site.request.interpreter} has no working venv module (Debian and Ubuntu package it apart): "
                "apt-get install python3-venv"
            )
        if _NO_PIP.search(output):
            return f"{site.request.interpreter} has no pip: apt-get install python3-pip python3-venv"
        return super().remedy(site, output)

    def _of_project(self, site: BuildSite, declared: Sequence[str]) -> Sequence[str]:
        """A project that can't be built is a list of dependencies."""
        assert site.manifest is not None
        if _builds(site.manifest):
            return declared
        (site.source / _WANTED).write_text("\n".join(_dependencies(site.manifest)) + "\n", encoding="utf-8")
        words = [word for word in declared if word not in ("{pack_dir}", ".")]
        return (*words, "-r", f"{{pack_dir}}/{_WANTED}")

    def _is_interpreter(self, word: str, site: BuildSite) -> bool:
        is_python = PurePath(word).name == word and _PYTHON.fullmatch(word) is not None
        return is_python or super()._is_interpreter(word, site)


def _named_by(manifest: Path, pack: Path, seen: set[Path], *, links: bool = True) -> Iterator[Path]:
    """Yield what ``manifest`` names inside the pack; an include is relative to its file, the rest to the pack."""
    seen.add(manifest)
    if manifest.suffix not in (".txt", ".in"):
        return
    for entry in read_requirements(read_regular(manifest, LARGEST_MANIFEST).decode("utf-8", "replace")):
        if entry.kind == "include":
            path = (manifest.parent / entry.value).resolve()
            if path not in seen and path.is_file() and path.is_relative_to(pack):
                yield path
                yield from _named_by(path, pack, seen, links=links)
        elif entry.kind == "local" or (entry.kind == "links" and links):
            with contextlib.suppress(ValueError, OSError):
                path = (pack / entry.value).resolve()
                if path.is_relative_to(pack) and path.exists():
                    yield path


def _is_plain_venv(command: Sequence[str]) -> bool:
    """Whether the command makes an ordinary virtual environment with pip in it, which is what uv can do as well."""
    return tuple(command[1:3]) == ("-m", "venv") and set(command[3:]) <= {"--copies", "--symlinks", "{env_dir}"}


def _is_relocatable(interpreter: str) -> bool:
    """Whether the program looks for its library beside itself: a copy of it elsewhere wouldn't find it."""
    try:
        with (
            os.fdopen(open_regular(interpreter), "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            return data[:4] == b"\x7fELF" and data.find(b"$ORIGIN") >= 0
    except (OSError, ValueError):
        return False


def _project(manifest: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(manifest))
    except ValueError:
        return {"build-system": {}}  # the installer itself says what is wrong with it


def _builds(manifest: Path) -> bool:
    return "build-system" in _project(manifest)


def _dependencies(manifest: Path) -> list[str]:
    project = _project(manifest).get("project")
    listed = project.get("dependencies") if isinstance(project, dict) else None
    return [item for item in listed if isinstance(item, str)] if isinstance(listed, list) else []
