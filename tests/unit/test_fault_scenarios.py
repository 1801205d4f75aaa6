"""The page about faults and the scenarios that inject them belong together."""

from __future__ import annotations

import re

from tests.faults.scenarios import SCENARIOS, SHORT_FORM
from tests.unit.source_trees import ROOT


def test_every_scenario_is_described_with_its_longest_delay_and_every_described_scenario_exists() -> None:
    page = (ROOT / "docs/explanation/faults.md").read_text(encoding="utf-8")
    described = re.findall(r"^\| (?!scenario\b)([a-z ]+?) \|.*\| ([0-9]+) s \|$", page, flags=re.MULTILINE)
    assert described == [(name, f"{scenario.at_most:g}") for name, scenario in SCENARIOS.items()]


def test_the_short_form_is_a_part_of_all() -> None:
    assert set(SHORT_FORM) < set(SCENARIOS)
