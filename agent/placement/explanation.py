"""Say why an execution waits or can't be run: equal reasons counted, and the executor's own sentences (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agent.liveness import DEAD_AFTER
from agent.placement.candidate import Candidate
from agent.placement.demand import Demand
from agent.placement.fit import absence, lacks
from agent.runtimes.names import normalize_runtime_name

Outlook = Literal["ready", "full", "absent", "unfit", "nobody"]
"""``ready``: somebody has a free slot. ``full``: all that fit are full. ``absent``: those that fit are silent, cordoned
or leaving. ``unfit``: none fits. ``nobody``: there is no worker at all."""


@dataclass(frozen=True)
class Explanation:
    """What the fleet offers to a demand; ``reasons`` are ``(worker, everything that keeps it away)``."""

    outlook: Outlook
    sentence: str
    reasons: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def may_wait(self) -> bool:
        """Whether the time to wait for a fitting worker runs: full workers are waited for without limit."""
        return self.outlook in ("absent", "unfit", "nobody")

    def counted(self) -> list[str]:
        """Return each reason once, with the workers that have it."""
        counts: Counter[str] = Counter()
        names: dict[str, list[str]] = {}
        for worker, reasons in self.reasons:
            text = "; ".join(reasons)
            counts[text] += 1
            names.setdefault(text, []).append(worker)
        return [_line(names[text], text) for text, _ in counts.most_common()]


def explain(demand: Demand, fleet: Sequence[Candidate], action_ref: str) -> Explanation:
    """Look at the whole fleet; every reason of every worker is named, not only the first."""
    reasons: list[tuple[str, tuple[str, ...]]] = []
    fits = full = 0
    for one in fleet:
        found = lacks(demand, one)
        silent = absence(one)
        if not found:
            fits += 1
            if silent is None:
                full += 1
                if one.free > 0:
                    return Explanation("ready", f"{one.name} has a free slot", ())
                found = [f"is full: {one.in_hand} of {one.slots} slots are taken"]
        reasons.append((one.name, (*found, *((silent,) if silent else ()))))
    outlook: Outlook = "full" if full else "absent" if fits else "unfit" if fleet else "nobody"
    return Explanation(outlook, _sentence(outlook, demand, fleet, action_ref), tuple(reasons))


def _sentence(outlook: Outlook, demand: Demand, fleet: Sequence[Candidate], action_ref: str) -> str:
    """Return the sentence that clients know from the executor, where it has one."""
    if outlook == "full":
        return "All workers that fit are full"
    if outlook == "nobody":
        return "No action workers available"
    if outlook == "unfit":
        runtime = normalize_runtime_name(demand.runtime_names[0]) if demand.runtime_names else "any"
        required = ", ".join(f"{name} {constraint}" for name, constraint in demand.required_runtimes.items()) or "none"
        placement = "set" if demand.selector or demand.tolerations or demand.affinity else "none"
        return (
            f"No compatible workers found for action: {action_ref} (requires runtime: {runtime}, version constraint:"
            f" {demand.version_constraint or 'none'}, required worker runtimes: {required}, worker placement:"
            f" {placement})"
        )
    fitting = [one for one in fleet if not lacks(demand, one)]
    if any(one.status == "active" and not one.cordoned for one in fitting):
        return f"No workers with fresh heartbeats available (heartbeat older than {DEAD_AFTER:g} seconds)"
    return "No active, uncordoned workers available"


def _line(names: Sequence[str], text: str) -> str:
    if len(names) <= 3:
        return f"{', '.join(names)}: {text}"
    return f"{len(names)} workers ({', '.join(names[:2])} ...): {text}"
