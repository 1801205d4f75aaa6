"""What a log line looks like, and what may never be in one."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from agent import logs
from agent.logs import MASK, TRACE, Redactor, configure_logging, escape_control, mask_url


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """A place to log to; the root logger and the known secrets are put back afterwards."""
    monkeypatch.setattr(logs, "redactor", Redactor())
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_json_line_has_the_stable_keys_and_the_extra_fields(stream: io.StringIO) -> None:
    configure_logging("info", "json", stream=stream)
    logging.getLogger("agent.worker").warning("slot %d is %s", 3, "free", extra={"execution": 17})
    document = json.loads(stream.getvalue())
    assert list(document) == ["timestamp", "level", "logger", "message", "thread", "execution"]
    assert document["timestamp"].endswith("Z")
    del document["timestamp"]
    assert document == {
        "level": "warn",
        "logger": "agent.worker",
        "message": "slot 3 is free",
        "thread": "MainThread",
        "execution": 17,
    }


def test_a_pretty_line_is_text_for_people(stream: io.StringIO) -> None:
    configure_logging("info", "pretty", stream=stream)
    logging.getLogger("agent.worker.service").info("hello", extra={"worker": "w"})
    clock, _, rest = stream.getvalue().partition(" ")
    assert len(clock) == len("12:00:00.000")
    assert rest == "info  worker.service [MainThread] hello worker=w\n"


def test_only_records_of_the_level_and_above_are_written(stream: io.StringIO) -> None:
    log = logging.getLogger("agent.test")
    for level, expected in {"trace": 5, "debug": 4, "info": 3, "warn": 2, "error": 1}.items():
        configure_logging(level, "json", stream=(target := io.StringIO()))
        for number in (TRACE, logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            log.log(number, "x")
        assert len(target.getvalue().splitlines()) == expected


@pytest.mark.parametrize("fmt", ["json", "pretty"])
def test_a_known_secret_is_masked_wherever_it_appears(stream: io.StringIO, fmt: str) -> None:
    secret = 'pass"word/1'
    logs.redactor.add(secret)
    configure_logging("info", fmt, stream=stream)
    log = logging.getLogger("agent.test")
    try:
        raise ValueError(f"it was {secret} again")
    except ValueError:
        log.exception("a %s b %s", secret, {"key": secret}, extra={"url": "x?p=pass%22word%2F1"})
    text = stream.getvalue()
    assert "word" not in text.replace("password", "")
    assert text.count(MASK) == 4


def test_the_longest_secret_is_masked_as_a_whole() -> None:
    redactor = Redactor()
    redactor.add("abcd")
    redactor.add("abcdefgh")
    assert redactor.redact("abcdefgh") == MASK


def test_very_short_values_are_not_searched_for() -> None:
    redactor = Redactor()
    redactor.add("abc")
    assert redactor.redact("abc") == "abc"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("amqp://guest:pa:ss@host/%2f", f"amqp://guest:{MASK}@host/%2f"),
        ("at postgresql://u:p@ss@h:5432/d?x=1!", f"at postgresql://u:{MASK}@h:5432/d?x=1!"),
        ("host=h password=hunter2 user=u", f"host=h password={MASK} user=u"),
        ("postgresql://h/d?password=x&a=b", f"postgresql://h/d?password={MASK}&a=b"),
        ("postgresql://h/d", "postgresql://h/d"),
        ("http://host:80/a@b", "http://host:80/a@b"),
    ],
)
def test_passwords_in_urls_are_masked(text: str, masked: str) -> None:
    assert mask_url(text) == masked


@pytest.mark.parametrize("fmt", ["json", "pretty"])
def test_control_characters_can_neither_forge_a_line_nor_drive_a_terminal(stream: io.StringIO, fmt: str) -> None:
    configure_logging("info", fmt, stream=stream)
    logging.getLogger("agent.test").info("a\n2026 error forged \x1b[2J \x9b31m \u2028 end", extra={"k": "x\ry\x07"})
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert not any(character in text for character in "\x1b\x9b\u2028\r\x07")
    if fmt == "json":
        assert json.loads(text)["message"] == "a\n2026 error forged \x1b[2J \x9b31m \u2028 end"


def test_escaping_leaves_ordinary_text_alone() -> None:
    assert escape_control("Grüße, 世界 ✓") == "Grüße, 世界 ✓"


def test_a_stream_that_has_gone_neither_raises_nor_prints(stream: io.StringIO, capsys) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    configure_logging("info", "json", stream=Gone())
    logging.getLogger("agent.test").info("x")
    assert capsys.readouterr().err == ""


def test_a_message_that_cant_be_rendered_is_reported_but_does_not_raise(stream: io.StringIO, capsys) -> None:
    configure_logging("info", "json", stream=stream)
    logging.getLogger("agent.test").info("%d", "not a number")
    assert "Logging error" in capsys.readouterr().err


def message(text: str, stream: io.StringIO) -> str:
    configure_logging("info", "json", stream=stream)
    logging.getLogger("agent.test").info("it says %s", text)
    return str(json.loads(stream.getvalue())["message"])


@pytest.mark.parametrize(
    "text",
    ["://" + "a" * 500_000, "a" * 500_000 + "://", "a://" * 100_000, "a://b:" * 100_000 + "@", "x" * 2_000_000],
    ids=lambda text: text[:6],
)
def test_a_text_of_any_size_is_masked_in_linear_time_and_cut(text: str, stream: io.StringIO) -> None:
    shown = message(text, stream)
    assert len(shown) < 20_000
    assert "more characters" in shown


def test_what_is_cut_is_masked_first(stream: io.StringIO) -> None:
    assert "pass-word" not in message("x" * 16_350 + " amqp://user:pass-word-of-mine@host/", stream)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("amqp://u:p@h/v", "amqp://u:[redacted]@h/v"),
        ("a amqp://u:p:q@r@h:1/v b", "a amqp://u:[redacted]@h:1/v b"),
        ("postgresql://:p@/x", "postgresql://:[redacted]@/x"),
        ("http://h:80/a@b", "http://h:80/a@b"),
        ("http://u@h:80/", "http://u@h:80/"),
        ("see http://h:80 or a@b", "see http://h:80 or a@b"),
        ("a://u:p@h b://u:q@h", "a://u:[redacted]@h b://u:[redacted]@h"),
    ],
)
def test_the_password_of_a_url_is_masked_and_nothing_else(text: str, shown: str) -> None:
    assert mask_url(text) == shown
