"""How the processes of one job are recognised wherever they went (pure values)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JobMark:
    """Either is enough to belong to the job.

    ``variable`` is a ``NAME=value`` in the environment, which a process can drop; ``score`` an ``oom_score_adj`` that
    no other job of this agent has at the same time, which the kernel passes on. None where it can't be had.
    """

    variable: str
    score: int | None = None
