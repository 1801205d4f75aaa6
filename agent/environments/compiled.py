"""Compile an action once: its program is kept beside the pack's environments and run from there until a source changes.

``go run`` and ``java X.java`` compile at every start. What can't be compiled here, for whatever reason, is run as
before: then the language itself says what is wrong.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.environments import compiled_output
from agent.environments.java_source import java_main_class, other_compiler_options
from agent.environments.layout import Layout, make_shared_directory
from agent.environments.lock import BuildLocks
from agent.environments.marker import TOUCH_EVERY
from agent.environments.model import EnvironmentRequest, PreparedEnvironment
from agent.environments.source_copy import IGNORED
from agent.environments.steps import last_lines
from agent.environments.sweep import KEEP_SUPERSEDED
from agent.environments.template import fill_command
from agent.errors import AgentError, EnvironmentFailed
from agent.process.command import run_command
from agent.reading.regular_files import open_regular
from agent.runtimes.model import CompileSpec

log = logging.getLogger(__name__)

#: A pack with more source files than this is not looked through at each start.
_MOST_SOURCES = 2000

_Stamps = tuple[tuple[str, int, int, int], ...]


@dataclass
class _Known:
    stamps: _Stamps
    argv: tuple[str, ...] | None
    output: Path | None
    touched: float = field(default_factory=time.monotonic)


class CompiledActions:
    """The compiled actions of this worker; its method may be called from any thread."""

    def __init__(self, runtime_envs_dir: Path, *, timeout: float, container: Mapping[str, str]) -> None:
        """``timeout`` is the seconds that a compiler may take, ``container`` the image's environment."""
        self._root = runtime_envs_dir
        self._timeout = timeout
        self._container = container
        self._locks = BuildLocks(patience=timeout + 10)
        self._guard = threading.Lock()
        self._known: dict[tuple[str, str, str], _Known] = {}

    def command(
        self, request: EnvironmentRequest, prepared: PreparedEnvironment | None, action_file: str
    ) -> tuple[str, ...] | None:
        """Return the command line that runs the compiled file; None: it has to be run as it is.

        Without an environment, ``prepared`` is None, nothing is compiled.
        """
        spec = request.config.compile
        if spec is None or prepared is None:
            return None
        key = (action_file, str(prepared.env_dir), prepared.interpreter)
        try:
            stamps = _stamps(request.pack_dir, action_file, spec)
            known = self._known.get(key)
            if known is None or known.stamps != stamps or (known.output and not known.output.exists()):
                known = self._compile(spec, request, prepared, action_file, stamps)
                with self._guard:
                    self._known[key] = known
            elif known.output and time.monotonic() - known.touched > TOUCH_EVERY:
                known.touched = time.monotonic()
                compiled_output.note_use(known.output)
        except (OSError, AgentError) as error:
            log.info("%s is run uncompiled: %s", action_file, error)
            return None
        return known.argv

    def _compile(
        self,
        spec: CompileSpec,
        request: EnvironmentRequest,
        prepared: PreparedEnvironment,
        action_file: str,
        stamps: _Stamps,
    ) -> _Known:
        layout = Layout(self._root, request.pack_ref, request.dir_name)
        folder = layout.compiled
        output = folder / _digest(spec, request, prepared, action_file, stamps)
        values = self._values(request, prepared, action_file, output)
        argv = fill_command(spec.run, values)
        if not compiled_output.is_complete(output):
            make_shared_directory(folder)
            with self._locks.hold(folder / compiled_output.LOCK, lambda: request.asked_to_end):
                if not compiled_output.is_complete(output) and not self._run(
                    spec, request, prepared, action_file, output
                ):
                    return _Known(stamps, None, None)
        compiled_output.note_use(output)
        return _Known(stamps, argv, output)

    def _run(
        self,
        spec: CompileSpec,
        request: EnvironmentRequest,
        prepared: PreparedEnvironment,
        action_file: str,
        output: Path,
    ) -> bool:
        _sweep(output.parent, time.time())
        temporary = output.with_name(f"{output.name}.{secrets.token_hex(3)}.tmp")
        temporary.mkdir()
        request.progress(f"compiling {os.path.basename(action_file)}")
        started = time.monotonic()
        try:
            values = self._values(request, prepared, action_file, temporary)
            outcome = run_command(
                fill_command(spec.command, values),
                timeout=self._timeout,
                env=self._environment(prepared, action_file),
                cwd=request.pack_dir,
                stop=request.stop,
            )
            if not outcome.succeeded:
                if outcome.kind == "cancelled":
                    raise EnvironmentFailed(f"{action_file}: cancelled", step="compile", cancelled=True)
                log.info("%s is run uncompiled: %s", action_file, "; ".join(last_lines(outcome)[-3:]) or outcome.reason)
                return False
            compiled_output.complete(temporary)
            os.rename(temporary, output)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        line = f"compiled {os.path.basename(action_file)} in {time.monotonic() - started:.1f} s"
        log.info("%s: %s", request, line)
        request.progress(line)
        return True

    def _values(
        self, request: EnvironmentRequest, prepared: PreparedEnvironment, action_file: str, output: Path
    ) -> Mapping[str, str]:
        class_path = prepared.env_vars.get("CLASSPATH")
        existing = class_path.value if class_path else self._container.get("CLASSPATH", "")
        return {
            "output": str(output),
            "action_file": action_file,
            "pack_dir": str(request.pack_dir),
            "interpreter": prepared.interpreter,
            "class_path": ":".join(filter(None, (str(output), existing))),
            "main_class": java_main_class(action_file) if action_file.endswith(".java") else "",
        }

    def _environment(self, prepared: PreparedEnvironment, action_file: str) -> dict[str, str]:
        env = {name: value for name, value in self._container.items() if name not in prepared.unset}
        env |= {name: variable.value for name, variable in prepared.env_vars.items()}
        folders = dict.fromkeys(os.path.dirname(path) for path in (prepared.interpreter, _real(prepared.interpreter)))
        env["PATH"] = os.pathsep.join([*filter(None, folders), env.get("PATH") or os.defpath])
        return env | (other_compiler_options(prepared.interpreter) if action_file.endswith(".java") else {})


def _digest(
    spec: CompileSpec,
    request: EnvironmentRequest,
    prepared: PreparedEnvironment,
    action_file: str,
    stamps: _Stamps,
) -> str:
    """One digest over everything that the compiler reads: contents, not times, so that a copied pack finds its own."""
    told = (spec, action_file, str(prepared.env_dir), _real(prepared.interpreter), request.interpreter_version)
    digest = hashlib.sha256(repr(told).encode())
    for path, *_ in stamps:
        with os.fdopen(open_regular(path), "rb") as file:
            digest.update(path.encode("utf-8", "surrogateescape") + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:24]


def _stamps(pack_dir: Path, action_file: str, spec: CompileSpec) -> _Stamps:
    """Tell one state of the sources from another by looking at them, without reading.

    Raises:
        EnvironmentFailed: there are too many.
    """
    found = []
    for path, status in _sources(pack_dir, spec):
        found.append((path, status.st_ino, status.st_size, status.st_mtime_ns))
        if len(found) > _MOST_SOURCES:
            raise EnvironmentFailed(f"{pack_dir} has more than {_MOST_SOURCES} source files", step="compile")
    status = os.stat(action_file)
    found.append((action_file, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(sorted(set(found)))


def _sources(pack_dir: Path, spec: CompileSpec) -> Iterator[tuple[str, os.stat_result]]:
    pending = [str(pack_dir)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in IGNORED:
                        pending.append(entry.path)
                elif entry.name.endswith(spec.sources) and entry.is_file():
                    yield entry.path, entry.stat()


def _sweep(folder: Path, now: float) -> None:
    """Remove what was compiled from sources that nobody runs any more, and attempts that died."""
    for output in compiled_output.outputs(folder):
        used = compiled_output.last_used(output)
        if used is not None and now - used > KEEP_SUPERSEDED:
            compiled_output.remove(output)


def _real(path: str) -> str:
    return os.path.realpath(path) if path else ""
