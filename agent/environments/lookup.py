"""Find the build on the disk that fits, and keep the link pointing to what other programs should see."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from agent.environments.builder import interpreter_in
from agent.environments.fingerprint import Fingerprint
from agent.environments.layout import Layout
from agent.environments.marker import Marker, read_marker, touch_last_used
from agent.environments.model import EnvironmentRequest

log = logging.getLogger(__name__)

#: The inputs that differ between machines, not between contents.
_MACHINE = ("interpreter", "version", "architecture", "libc")


def find_build(layout: Layout, request: EnvironmentRequest, wanted: Fingerprint) -> Path | None:
    """Return the complete build whose inputs are ``wanted`` and whose interpreter is still there.

    Raises:
        OSError: the pack's directory can't be read.
    """
    for build in layout.builds():
        marker = read_marker(build)
        if marker is None or marker.fingerprint != wanted.digest:
            continue
        interpreter = interpreter_in(request, build)
        if interpreter is not None and not interpreter.exists():
            log.warning("%s: the interpreter %s of %s no longer exists", request, interpreter, build)
            continue
        if not _serves_others(layout, build, wanted):
            layout.point_to(build)
        touch_last_used(build)
        return build
    return None


def _serves_others(layout: Layout, build: Path, wanted: Fingerprint) -> bool:
    """Whether the link may stay: machines of different kinds that share a volume must not fight over it."""
    current = layout.current()
    if current == build:
        return True
    marker = None if current is None else read_marker(current)
    return marker is not None and _other_machine(marker, wanted.inputs) and _same_files(marker, wanted.inputs)


def _other_machine(marker: Marker, inputs: Mapping[str, object]) -> bool:
    return any(marker.inputs.get(name) != inputs[name] for name in _MACHINE)


def _same_files(marker: Marker, inputs: Mapping[str, object]) -> bool:
    return marker.inputs.get("files") == inputs["files"]
