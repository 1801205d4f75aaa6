"""Which runtimes workers must prepare for a pack; the only I/O is a look at its manifests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from agent.packs.model import Pack
from agent.packs.runner_types import NamedRuntime, find_runtime
from agent.runtimes.execution_config import ExecutionConfig


class ConfiguredRuntime(NamedRuntime, Protocol):
    """A runtime whose configuration is known."""

    @property
    def execution_config(self) -> Mapping[str, Any]:
        """The JSON of the row."""


def runtime_names(pack: Pack, runtimes: Iterable[ConfiguredRuntime], directory: Path | None = None) -> tuple[str, ...]:
    """Return the lower-case names of the runtimes that need something prepared, each once, in order.

    Those are the runtimes of the pack's actions and sensors, and those that its actions require besides, which have an
    environment or whose manifest lies in ``directory`` (the pack's own unless another is given).
    """
    known = tuple(runtimes)
    wanted = [action.runner_type for action in pack.actions]
    wanted += [sensor.runner_type for sensor in pack.sensors]
    wanted += [name for action in pack.actions for name in action.required_worker_runtimes]
    found = (find_runtime(name, known) for name in dict.fromkeys(wanted))
    place = directory or pack.directory
    names = {runtime.name.lower() for runtime in found if runtime and _needs_preparation(runtime, place)}
    return tuple(sorted(names))


def _needs_preparation(runtime: ConfiguredRuntime, directory: Path) -> bool:
    try:
        config = ExecutionConfig.from_json(runtime.execution_config)
    except ValueError:
        return False
    if config.environment is not None and config.environment.env_type != "none":
        return True
    return config.dependencies is not None and (directory / config.dependencies.manifest_file).is_file()
