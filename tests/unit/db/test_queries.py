"""Named statements in .sql files."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.db.queries import load_queries, parse_queries

AGENT = Path(__file__).parents[3] / "agent"


def test_statements_are_found_by_name_without_their_comments() -> None:
    text = """-- Statements of the example.

-- name: first
-- 100% of the rows.
SELECT id FROM pack;

-- name: second
SELECT ref
-- the name that people use
FROM pack WHERE id = %(id)s;
"""
    assert dict(parse_queries(text, source="example")) == {
        "first": "SELECT id FROM pack",
        "second": "SELECT ref\nFROM pack WHERE id = %(id)s",
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("-- name: a\nSELECT 1;\n-- name: a\nSELECT 2;", "a is defined twice"),
        ("-- name: a\n-- nothing follows", "a is empty"),
        ("SELECT 1;\n-- name: a\nSELECT 2;", "before the first"),
    ],
)
def test_a_mistake_in_the_file_is_named(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"example.*{complaint}"):
        parse_queries(text, source="example")


def test_a_missing_file_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        load_queries("agent.db", "missing.sql")


@pytest.mark.parametrize("file", sorted(AGENT.rglob("queries.sql")), ids=lambda file: file.parent.name)
def test_every_file_of_statements_can_be_read(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert parse_queries(text, source=str(file))
    assert not [line for line in text.splitlines() if line[:7] in ("<" * 7, "=" * 7, ">" * 7)]
