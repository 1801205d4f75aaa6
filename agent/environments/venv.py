"""Python: a virtual environment with the packages of a requirements file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath

from agent.environments.backend import BuildSite
from agent.environments.declared import Declared
from agent.environments.fingerprint import LARGEST_MANIFEST
from agent.reading.regular_files import read_regular

_PYTHON = re.compile(r"python[\d.]*")
_INCLUDE = re.compile(r"\s*(?:-r|-c|--requirement|--constraint)[ =]\s*(\S+)")
_LOCAL = re.compile(r"\s*(?:-e\s+|--editable[ =]\s*)?(?:\S+\s*@\s*)?(?:file:)?(\.{1,2}/[^\s#;]+|\.(?=\s|$))")
_NO_VENV = re.compile(r"No module named '?(venv|ensurepip)|ensurepip is not\s+available|ensurepip.*returned non-zero")
_NO_PIP = re.compile(r"No module named '?pip")


class Virtualenv(Declared):
    """``env_type: virtualenv``."""

    label = "virtualenv"

    def local_inputs(self, pack_dir: Path, manifest: Path) -> Iterable[Path]:
        """Follow ``-r`` and ``-c``, and name local packages such as ``./lib/greeting``."""
        return _named_by(manifest.resolve(), pack_dir.resolve(), set())

    def variables(self, site: BuildSite) -> Mapping[str, str]:
        """Keep pip on its task, whatever the image's own configuration says about user or target installs."""
        return {"PIP_USER": "0", "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

    def program_folders(self, site: BuildSite) -> Sequence[str]:
        """Put the environment's own programs before everything."""
        return (str(site.env_dir / "bin"), *super().program_folders(site))

    def remedy(self, site: BuildSite, output: str) -> str | None:
        """Explain a Python that was packaged without what a virtual environment needs."""
        if _NO_VENV.search(output):
            return (
                f"{site.request.interpreter} has no working venv module (Debian and Ubuntu package it apart): "
                "apt-get install python3-venv"
            )
        if _NO_PIP.search(output):
            return f"{site.request.interpreter} has no pip: apt-get install python3-pip python3-venv"
        return None

    def _is_interpreter(self, word: str, site: BuildSite) -> bool:
        is_python = PurePath(word).name == word and _PYTHON.fullmatch(word) is not None
        return is_python or super()._is_interpreter(word, site)


def _named_by(manifest: Path, pack: Path, seen: set[Path]) -> Iterator[Path]:
    """Yield what ``manifest`` names inside the pack; an include is relative to its file, a package to the pack."""
    seen.add(manifest)
    if manifest.suffix not in (".txt", ".in"):
        return
    for line in read_regular(manifest, LARGEST_MANIFEST).decode("utf-8", "replace").splitlines():
        include, local = _INCLUDE.match(line), _LOCAL.match(line)
        if include:
            path = (manifest.parent / include[1]).resolve()
            if path not in seen and path.is_file() and path.is_relative_to(pack):
                yield path
                yield from _named_by(path, pack, seen)
        elif local:
            path = (pack / local[1]).resolve()
            if path.is_relative_to(pack) and path.exists():
                yield path
