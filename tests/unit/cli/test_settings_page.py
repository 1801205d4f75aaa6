"""The reference page, the settings tree and the variables say the same."""

from __future__ import annotations

from pathlib import Path

from agent.cli.settings_page import settings_page
from agent.configuration.settings_table import fields

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "settings.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == settings_page(), "run: make docs"


def test_every_setting_has_one_row_with_its_variable_and_its_meaning() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    for key, field in fields().items():
        (row,) = [line for line in lines if line.startswith(f"| `{key}` |")]
        assert f"`{field.variable}`" in row
        assert field.doc.replace("|", "\\|") in row


def test_every_meaning_is_a_phrase() -> None:
    for field in fields().values():
        assert field.doc
        assert not field.doc.endswith(".")
