"""Which environments the actions of packs will want on this machine, chosen just as an execution would choose them."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from agent.db.named_statements import Statements
from agent.db.pool import Database
from agent.environments.model import EnvironmentRequest
from agent.errors import AgentError, EnvironmentFailed
from agent.runtimes.registry import RuntimeRegistry
from agent.runtimes.selection import VersionSelector

log = logging.getLogger(__name__)


class _Need(NamedTuple):
    pack_id: int
    ref: str
    runtime: int | None
    constraint: str
    required: Any


class EnvironmentNeeds:
    """Reads what packs need; used by the provisioner thread."""

    def __init__(
        self,
        database: Database,
        registry: RuntimeRegistry,
        versions: VersionSelector,
        *,
        directory_of: Callable[[str], Path | None],
        cancelled: Callable[[], bool],
        left_out: Callable[[str], None] = log.info,
    ) -> None:
        """``directory_of`` tells where a pack's files lie, None where it has none.

        ``cancelled`` is asked while environments are built; ``left_out`` is told what can't run here, and why.
        """
        self._database = database
        self._registry = registry
        self._versions = versions
        self._directory_of = directory_of
        self._cancelled = cancelled
        self._left_out = left_out

    def of(self, pack_ref: str | None = None) -> list[EnvironmentRequest]:
        """Return what one pack needs, or all packs, each environment once; what can't run here is left out.

        Raises:
            DatabaseError: the packs can't be read.
        """
        with self._database.connection() as connection:
            rows = Statements("agent.worker").all(connection, _Need, "needed_runtimes", {"pack_ref": pack_ref})
        requests: dict[tuple[str, str], EnvironmentRequest] = {}
        for ref, needs in itertools.groupby(rows, key=lambda row: row.ref):
            if (directory := self._found(ref)) is None:
                continue
            for row in needs:
                for key, wanted in _needed(row.runtime, row.constraint, row.required):
                    request = self._request(row.pack_id, ref, directory, key, wanted)
                    if request is not None and request.isolated:
                        requests.setdefault((ref, request.dir_name), request)
        return list(requests.values())

    def _found(self, ref: str) -> Path | None:
        try:
            return self._directory_of(ref)
        except EnvironmentFailed as error:
            self._left_out(f"no environment of {ref}: {error}")
            return None

    def _request(
        self, pack_id: int, ref: str, directory: Path, key: int | str, constraint: str
    ) -> EnvironmentRequest | None:
        usable = self._registry.find(key)
        if usable is None:
            return None
        try:
            selected = self._versions.select(usable, constraint)
        except AgentError as error:
            self._left_out(f"no environment of {ref} for {usable.runtime.ref}: {error}")
            return None
        return EnvironmentRequest.of((pack_id, ref), directory, usable, selected, cancelled=self._cancelled)


def _needed(runtime: int | None, constraint: str, required: Any) -> Iterator[tuple[int | str, str]]:
    if runtime is not None:
        yield runtime, constraint
    if isinstance(required, Mapping):
        for name, wanted in required.items():
            if isinstance(wanted, str):
                yield name, "" if wanted.strip() == "*" else wanted
