"""Follow the rules of one trigger: ask the server, who answers when they have changed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol
from urllib.parse import quote

from agent.backoff import Backoff
from agent.errors import ServerError, ServerUnavailable
from agent.reading.json_text import read_json

log = logging.getLogger(__name__)

#: Seconds that the server may hold its answer back.
WAIT = 25
_PAGE, _MOST_PAGES = 100, 1000
#: Seconds between two looks where the server doesn't hold anything back, and at least between two answers.
_PLAIN_PAUSE, _LEAST_PAUSE = 2.0, 0.02
_BACKOFF = Backoff(0.25, 5.0, spread=(0.8, 1.2))


class Reply(Protocol):
    """What the server answers."""

    @property
    def body(self) -> bytes: ...


class Follower:
    """The body of one thread."""

    def __init__(
        self,
        trigger_ref: str,
        get: Callable[[str], Reply],
        changed: Callable[[str, object], None],
    ) -> None:
        """Ask with ``get``, and tell ``changed`` the trigger and its list of rules."""
        self._trigger = trigger_ref
        self._get = get
        self._changed = changed
        self._stop = threading.Event()
        self.following = threading.Event()

    def run(self) -> None:
        """Ask until ``stop``; the rules that are known stay while the server is away."""
        version: str | None = None
        failures = 0
        while not self._stop.is_set():
            try:
                rules, found = self._rules(version)
            except (ServerError, ValueError) as error:
                if failures == 0 and not self._stop.is_set():
                    log.warning("rules of %s can't be followed: %s", self._trigger, error)
                pause = _BACKOFF.pause(failures) if isinstance(error, ServerUnavailable) else _BACKOFF.longest
                failures += 1
                self._stop.wait(pause)
                continue
            if found is None or found != version:
                self._changed(self._trigger, rules)
            if failures:
                log.info("following the rules of %s again", self._trigger)
            version, failures = found, 0
            self.following.set()
            self._stop.wait(_LEAST_PAUSE if version is not None else _PLAIN_PAUSE)

    def _rules(self, version: str | None) -> tuple[list[object], str | None]:
        """Return all rules, and their version where the server tells one: it answers when that has changed."""
        held = "" if version is None else f"&wait={WAIT}&version={quote(version)}"
        rules: list[object] = []
        told: str | None = None
        for page in range(1, _MOST_PAGES + 1):
            path = f"/api/v1/triggers/{self._trigger}/rules?page={page}&page_size={_PAGE}"
            document = read_json(self._get(path + (held if page == 1 else "")).body.decode())
            found = document.get("items") if isinstance(document, dict) else None
            if not isinstance(found, list):
                raise ValueError("the answer is not a list of rules")  # noqa: TRY004 - as for an answer that is no JSON
            now = document.get("version")
            if page > 1 and now != told:
                return self._rules(None)  # changed between two pages
            told = now if isinstance(now, str) and len(now) < 200 else None
            rules += found
            if len(found) < _PAGE:
                break
        return rules, told

    def stop(self) -> None:
        """End ``run`` when the answer that it waits for has come."""
        self._stop.set()
