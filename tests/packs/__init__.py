"""Sample packs for the tests: ``complete`` uses every key, ``broken`` has a problem in nearly every line."""

from __future__ import annotations

from pathlib import Path

COMPLETE = Path(__file__).parent / "complete"
BROKEN = Path(__file__).parent / "broken"
SHIPPED = Path(__file__).parent.parent.parent / "packs"
