"""Actions as they are defined now: read once, and again only when the stamp that comes with a claim has changed."""

from __future__ import annotations

from collections.abc import Sequence

from agent.execution.model import Action, Claim
from agent.execution.recording.store import ExecutionStore

#: A deployment has hundreds of actions, not millions; the bound only keeps a leak from being one.
_MAX_CACHED = 4096


class ActionCache:
    """The coordinator's cache of actions."""

    def __init__(self, store: ExecutionStore) -> None:
        """Start empty."""
        self._store = store
        self._actions: dict[int, tuple[str, Action]] = {}

    def of(self, claims: Sequence[Claim]) -> dict[int, Action]:
        """Return the action of each claim by execution id; those whose action is gone are missing.

        Raises:
            DatabaseError: a definition had to be read and could not be.
        """
        stale = {claim.action_id: claim.stamp for claim in claims if self._is_stale(claim)}
        if stale:
            if len(self._actions) + len(stale) > _MAX_CACHED:
                self._actions.clear()
                stale = {claim.action_id: claim.stamp for claim in claims if self._is_stale(claim)}
            loaded = self._store.load_actions([id_ for id_ in stale if id_ is not None])
            self._actions.update({id_: (stale[id_], action) for id_, action in loaded.items()})
        return {
            claim.execution.id: self._actions[claim.action_id][1]
            for claim in claims
            if claim.action_id is not None and claim.action_id in self._actions
        }

    def _is_stale(self, claim: Claim) -> bool:
        return claim.action_id is not None and self._actions.get(claim.action_id, ("",))[0] != claim.stamp
