"""How times and values look."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.cli.settings import shown
from agent.cli.tables import ago, plain, print_json, print_table, short
from agent.configuration.settings_table import fields
from agent.control.fleet import VersionEntry


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, None),
        (-1, "0.00 s"),
        (0.214, "0.21 s"),
        (12.4, "12 s"),
        (59.6, "1 min 0 s"),
        (184, "3 min 4 s"),
        (7500, "2 h 5 min"),
        (360000, "4 d 4 h"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float | None, text: str | None) -> None:
    assert short(seconds) == text


def test_the_past_is_told_to_the_second() -> None:
    assert ago(datetime.now(UTC) - timedelta(seconds=4)) == "4 s ago"
    assert ago(datetime.now(UTC) + timedelta(seconds=9)) == "0 s ago", "clocks differ"
    assert ago(None) is None


def test_a_value_from_elsewhere_cant_drive_the_terminal() -> None:
    assert plain("a\x1b[2Jb\nc\x07").plain == "a\\x1b[2Jb\nc\\x07"


def test_a_table_in_a_pipe_is_as_wide_as_it_must_be_and_ends_where_its_text_does(capsys) -> None:
    print_table(["A", "B"], [["x" * 300, None], [1, "y"]], empty="none")
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "x" * 300
    assert lines[3].split() == ["1", "y"]
    assert all(line == line.rstrip() for line in lines)


def test_no_row_is_a_sentence(capsys) -> None:
    print_table(["A"], [], empty="nothing here")
    assert capsys.readouterr().out == "nothing here\n"


def test_json_has_rfc_3339_times_and_plain_values(capsys) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    print_json([VersionEntry("core.x", "1", True, False, moment), Path("/p")])
    out = capsys.readouterr().out
    assert '"verified_at": "2026-01-02T03:04:05Z"' in out
    assert '"/p"' in out


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("security.jwt_secret", "hunter2", "[redacted]"),
        ("security.jwt_secret", None, None),
        ("message_queue.url", "amqp://a:hunter2@h/v", "amqp://a:[redacted]@h/v"),
        ("worker.name", "w", "w"),
        ("worker.port", 1, 1),
    ],
)
def test_settings_are_shown_without_secrets(key: str, value: Any, expected: Any) -> None:
    assert shown(fields()[key], value) == expected


def test_every_key_that_sounds_secret_is_marked_so() -> None:
    for key, field in fields().items():
        if any(word in key for word in ("secret", "password", "token", "encryption_key")):
            assert field.secret, key
