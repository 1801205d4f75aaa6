"""How long to wait before the next attempt: pauses that grow to a limit (pure but for chance)."""

from __future__ import annotations

import random
from dataclasses import dataclass

_ENOUGH = 64  # a higher attempt's pause is the longest; a float's exponent has an end


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses in seconds that begin with ``first``, grow by ``factor`` with each attempt and end at ``longest``.

    ``spread`` bounds the factor that chance multiplies each pause by, so that many who failed at the same instant
    don't come back at the same instant.
    """

    first: float
    longest: float
    factor: float = 2.0
    spread: tuple[float, float] = (1.0, 1.0)

    def pause(self, attempt: int) -> float:
        """Return the seconds to wait after the failed attempt ``attempt``; the first one is 0."""
        grown = self.first * self.factor ** min(attempt, _ENOUGH)
        return min(grown, self.longest) * random.uniform(*self.spread)  # noqa: S311 - spreads load, keeps no secret
