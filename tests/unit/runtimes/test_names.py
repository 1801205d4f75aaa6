"""Canonical names of runtimes."""

from __future__ import annotations

import pytest

from agent.runtimes.names import (
    default_aliases,
    default_file_extension,
    display_name,
    matches_filter,
    normalize_runtime_name,
    unique_names,
)


@pytest.mark.parametrize(
    ("canonical", "names"),
    [
        ("node", ["node", "nodejs", "node.js", " Node.JS "]),
        ("python", ["python", "python3", "Python"]),
        ("shell", ["shell", "bash", "sh", "Shell"]),
        ("native", ["native", "builtin", "standalone"]),
        ("ruby", ["ruby", "rb", "RB"]),
        ("go", ["go", "golang"]),
        ("java", ["java", "jdk", "openjdk"]),
        ("perl", ["perl", "perl5"]),
        ("r", ["r", "rscript", "R"]),
        ("cobol", ["cobol", " COBOL"]),
        ("İx", ["İX"]),
    ],
)
def test_every_name_of_a_group_becomes_its_canonical_one(canonical: str, names: list[str]) -> None:
    assert {normalize_runtime_name(name) for name in names} == {canonical}


def test_a_filter_matches_by_meaning_not_by_spelling() -> None:
    python = ["python", "python3"]
    assert matches_filter(python, ["python", "shell"])
    assert not matches_filter(python, ["node", "ruby"])
    assert matches_filter(["node.js"], ["node"])
    assert matches_filter(["node"], ["NodeJS"])
    assert matches_filter(["python"], [" Python3 "])


def test_nothing_matches_when_either_side_is_empty() -> None:
    assert not matches_filter([], ["python"])
    assert not matches_filter(["python"], [])


@pytest.mark.parametrize(
    ("csv", "expected"),
    [
        ("shell,Python, Node", ("shell", "python", "node")),
        ("python3,python,nodejs", ("python", "node")),
        ("", ()),
        (" , ,", ()),
        ("cobol,shell", ("cobol", "shell")),
    ],
)
def test_a_list_is_read_as_canonical_names_in_order_without_duplicates(csv: str, expected: tuple[str, ...]) -> None:
    assert unique_names(csv.split(",")) == expected


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        *[("shell", ".sh"), ("python", ".py"), ("node", ".js"), ("ruby", ".rb"), ("go", ".go"), ("java", ".java")],
        *[("perl", ".pl"), ("r", ".R"), ("nodejs", ".js"), ("cobol", None), ("native", None)],
    ],
)
def test_each_language_has_its_file_extension(name: str, extension: str | None) -> None:
    assert default_file_extension(name) == extension


def test_aliases_are_the_group_or_the_name_itself() -> None:
    assert default_aliases("node") == ("node", "nodejs", "node.js")
    assert default_aliases("RScript") == ("r", "rscript")
    assert default_aliases("cobol") == ("cobol",)


@pytest.mark.parametrize(("name", "shown"), [("ruby", "Ruby"), ("r", "R"), ("node", "Node"), ("", "")])
def test_a_display_name_begins_with_a_capital(name: str, shown: str) -> None:
    assert display_name(name) == shown
