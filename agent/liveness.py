"""When a worker counts as dead: what Attune's executor, our dispatcher and every placement agree on."""

from __future__ import annotations

#: Seconds without a heartbeat. The statements that look for live workers say it as ``interval '90 seconds'``.
DEAD_AFTER = 90.0
