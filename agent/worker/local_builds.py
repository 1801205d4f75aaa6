"""Build environments on this machine without being a worker: for an operator who prepares an image or a volume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from agent.configuration import Loaded
from agent.db.pool import Database
from agent.environments.configured import configured_manager
from agent.errors import EnvironmentFailed, NotFound
from agent.packs.registered import registered_packs
from agent.runtimes.detection import detect_interpreters
from agent.runtimes.machine import Machine
from agent.runtimes.registry import RuntimeRegistry
from agent.runtimes.selection import VersionSelector
from agent.runtimes.store import load_runtimes
from agent.worker.needs import EnvironmentNeeds


@dataclass(frozen=True)
class BuildOutcome:
    """What became of one environment (``pack/name``)."""

    name: str
    what: str
    failed: bool = False


def build_here(loaded: Loaded, pack: str | None, *, again: bool, say: Callable[[str], None]) -> list[BuildOutcome]:
    """Build what ``pack`` (None: every pack) needs; ``again`` also what is there already.

    Raises:
        NotFound: there is no such pack.
        DatabaseError: the packs or runtimes can't be read.
    """
    settings = loaded.settings
    detection = detect_interpreters(timeout=settings.worker.probe_timeout, search_paths=settings.runtimes.search_paths)
    machine = Machine.of(detection, timeout=settings.worker.verify_timeout)
    database = Database(settings.database, application_name="attune env")
    try:
        if pack is not None and pack not in {known.ref for known in registered_packs(database)}:
            raise NotFound(f"there is no pack {pack}", hint="see: attune pack list")
        registry = RuntimeRegistry(lambda: load_runtimes(database), machine)
        registry.refresh()
        manager = configured_manager(settings, database, machine)
        needs = EnvironmentNeeds(
            database,
            registry,
            VersionSelector(machine),
            directory_of=lambda ref: settings.packs_base_dir / ref,
            cancelled=lambda: False,
            left_out=say,
        )
        requests = [replace(request, progress=say) for request in needs.of(pack)]
        outcomes = []
        for request in requests:
            try:
                built = manager.rebuild(request) if again else manager.build_if_needed(request)
            except EnvironmentFailed as error:
                said = str(error).removeprefix(f"{request}: ")
                hint = f"\nhint: {error.hint}" if error.hint and error.hint not in said else ""
                outcomes.append(BuildOutcome(str(request), f"{said}{hint}", failed=True))
            else:
                outcomes.append(BuildOutcome(str(request), "built" if built else "was there already"))
        return outcomes
    finally:
        database.close()
