"""The command line of the service commands."""

from __future__ import annotations

import pytest

from agent.cli.arguments import parse
from agent.errors import UsageError


@pytest.mark.parametrize(
    "words", [["--config", "a", "--name", "b"], ["-c", "a", "-n", "b"], ["--config=a", "--name=b"]]
)
def test_values_are_read_in_every_spelling(words: list[str]) -> None:
    found = parse(words, detection=True)
    assert (found.config, found.name) == ("a", "b")


def test_a_value_may_begin_with_a_dash_or_hold_an_equals_sign() -> None:
    assert parse(["--name", "--odd"], detection=True).name == "--odd"
    assert parse(["--name=a=b"], detection=True).name == "a=b"


def test_detection_can_print_json() -> None:
    found = parse(["--detect-only", "--json"], detection=True)
    assert found.detect_only
    assert found.json


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--config"], "--config needs a value"),
        (["--nmae", "x"], "unknown option --nmae"),
        (["--version=1"], "unknown option --version=1"),
        (["-vv"], "unknown option -vv"),
        (["stray"], "unknown argument stray"),
        (["--json"], "--json goes with --detect-only"),
        (["--name", " "], "--name needs a name that is not blank"),
    ],
)
def test_a_wrong_word_is_named(words: list[str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        parse(words, detection=True)
    assert caught.value.exit_code == 2


def test_a_worker_does_not_detect() -> None:
    with pytest.raises(UsageError, match="unknown option --detect-only"):
        parse(["--detect-only"], detection=False)
