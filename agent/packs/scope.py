"""What the files of one pack must agree on: the directory, the pack's ref, and the runtimes that its parts may name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agent.packs.entry_file import is_executable, is_path, wrong_file
from agent.packs.mapping_reader import MappingReader
from agent.packs.references import wrong_component_ref
from agent.packs.runner_types import NamedRuntime, find_runtime, is_known_language
from agent.packs.sensor_fields import is_builtin, wrong_program
from agent.runtimes.names import ALIASES, normalize_runtime_name


@dataclass(frozen=True)
class Scope:
    """``runtimes`` are those of this pack and those that are registered already."""

    directory: Path
    ref: str
    runtimes: tuple[NamedRuntime, ...] = ()

    def component_ref(self, fields: MappingReader) -> str:
        """Read ``ref`` of an action, sensor or trigger."""
        ref = fields.required_text("ref")
        wrong = wrong_component_ref(ref, self.ref) if ref else None
        if wrong:
            fields.complain("ref", wrong)
        return ref

    def runner(self, fields: MappingReader, *, default: str | None = None) -> str:
        """Read ``runner_type``: the name, alias or ref of a runtime that there is."""
        if default is not None and not fields.has("runner_type"):
            return default
        runner = fields.required_text("runner_type")
        if runner and not is_known_language(runner) and find_runtime(runner, self.runtimes) is None:
            fields.complain("runner_type", f"there is no runtime {runner!r}{self._meant(runner)}")
        return runner

    def entrypoint(self, fields: MappingReader, runner: str, folder: str) -> str:
        """Read ``entry_point``: a file below ``folder``; for the shell also the script itself.

        Promise: entry points stay in the pack.
        """
        text = fields.text("entry_point", "entrypoint")
        if text is None:
            if not fields.has("entry_point", "entrypoint"):
                fields.complain("entry_point", "is missing")
            return ""
        directory = self.directory / folder
        shell = normalize_runtime_name(runner) == "shell" or runner.lower() == "core.shell"
        if not text.strip():
            fields.complain("entry_point", "is empty")
        elif folder == "sensors" and is_builtin(runner):
            wrong = wrong_program(text)
            if wrong:
                fields.complain("entry_point", wrong)
        elif folder == "sensors" or is_path(text, directory):
            self._check_file(fields, text, runner, directory)
        elif not shell:
            fields.complain(
                "entry_point", f"there is no file {folder}/{text}; only shell actions may hold the script itself"
            )
        return text

    def _check_file(self, fields: MappingReader, text: str, runner: str, directory: Path) -> None:
        wrong = wrong_file(text, directory, self.directory)
        if wrong:
            fields.complain("entry_point", wrong)
        elif normalize_runtime_name(runner.removeprefix("core.")) == "native" and not is_executable(text, directory):
            fields.complain("entry_point", f"{directory.name}/{text} is not executable (chmod +x)")

    def _meant(self, runner: str) -> str:
        known = sorted({*(alias for group in ALIASES.values() for alias in group), *_all_names(self.runtimes)})
        close = difflib.get_close_matches(runner.lower(), known, n=1)
        return f"; did you mean {close[0]}?" if close else ""


def _all_names(runtimes: Iterable[NamedRuntime]) -> Iterable[str]:
    for runtime in runtimes:
        yield runtime.ref
        yield runtime.name.lower()
        yield from runtime.aliases
