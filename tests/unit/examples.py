"""How many examples a property test tries that needs more, or fewer, than the others."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

#: What the loop while somebody writes leaves of them, and no fewer than so many.
_PART, _LEAST = 10, 15


def examples(number: int, *suppressed: HealthCheck) -> settings:
    """Let a test try ``number`` examples; a tenth of them where ``ATTUNE_TEST_EXAMPLES`` asks for few."""
    if os.environ.get("ATTUNE_TEST_EXAMPLES") == "quick":
        number = min(number, max(_LEAST, number // _PART))
    return settings(max_examples=number, deadline=None, suppress_health_check=suppressed)
