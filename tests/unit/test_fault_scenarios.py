"""The page about faults and the scenarios that inject them belong together."""

from __future__ import annotations

import re

from tests.faults.scenarios import SCENARIOS, SHORT_FORM
from tests.unit.source_trees import ROOT


def test_every_scenario_is_described_and_every_described_scenario_exists() -> None:
    page = (ROOT / "docs/explanation/faults.md").read_text(encoding="utf-8")
    described = re.findall(r"^\| (?!scenario\b)([a-z ]+?) \|", page, flags=re.MULTILINE)
    assert described == list(SCENARIOS)


def test_the_short_form_is_a_part_of_all() -> None:
    assert set(SHORT_FORM) < set(SCENARIOS)
