"""The advisory locks of dispatchers; the second half of each is the schema: two schemas have two dispatchers."""

from __future__ import annotations

PRESENCE = 0x41747450
"""Held, shared, by every dispatcher that runs: ``agent.control`` asks for it."""

PLACING = 0x41747451
"""Held for one transaction by the dispatcher that is placing."""

LEADER = 0x41747452
"""Held by the dispatcher whose monitors run."""
