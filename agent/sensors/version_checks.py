"""The thread that checks versions of runtimes ahead of need: at a full service's start, when asked, now and then."""

from __future__ import annotations

import logging
import threading

from agent.errors import AgentError
from agent.runtimes.registry import RuntimeRegistry
from agent.runtimes.selection import VersionSelector

log = logging.getLogger(__name__)


class VersionChecks:
    """Its work is a convenience: a sensor that needs a version has it checked itself."""

    def __init__(self, registry: RuntimeRegistry, versions: VersionSelector, *, verify_every: float) -> None:
        """Check again every ``verify_every`` seconds, with 0 only when asked."""
        self._registry = registry
        self._versions = versions
        self._verify_every = verify_every
        self._asked = threading.Event()
        self._stopping = threading.Event()

    def ask(self) -> None:
        """Have all versions checked now; from any thread."""
        self._asked.set()

    def stop(self) -> None:
        """End ``run`` after what it is doing."""
        self._stopping.set()
        self._asked.set()

    def run(self) -> None:
        """Check until ``stop``."""
        while True:
            self._asked.wait(self._verify_every or None)
            self._asked.clear()
            if self._stopping.is_set():
                return
            try:
                self._registry.refresh()
                self._versions.verify(self._registry.usable)
            except (AgentError, OSError) as error:
                log.warning("the versions of runtimes could not be checked: %s", error)
