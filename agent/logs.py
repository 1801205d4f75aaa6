"""Logging to stderr: one JSON object a line or text for people; secrets masked, control characters escaped."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO
from urllib.parse import quote

TRACE = 5
LEVELS = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
MASK = "[redacted]"

_NAMES = {TRACE: "trace", 10: "debug", 20: "info", 30: "warn", 40: "error", 50: "error"}
_COLOURS = {"trace": "2", "debug": "2", "info": "32", "warn": "33", "error": "31"}
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
# C0 and C1 control characters and the two Unicode line ends: what could forge a line or drive a terminal.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_AUTHORITY_END = re.compile(r"[\s/]")
#: Characters of one text that are written; what others send may be of any size.
_LONGEST_TEXT = 16_384
_QUERY_PASSWORD = re.compile(r"(?P<head>\b(?:password|sslpassword)=)[^\s&]+", re.IGNORECASE)


class Redactor:
    """Knows secrets and masks them in any text; values shorter than four characters would mask ordinary words."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._lock = threading.Lock()

    def add(self, value: str) -> None:
        """Mask ``value`` from now on, also where it is URL-quoted or JSON-escaped."""
        if len(value) < 4:
            return
        with self._lock:
            self._known.add(value)
            forms = {form for secret in self._known for form in _forms(secret)}
            self._pattern = re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))))

    def redact(self, text: str) -> str:
        """Return ``text`` with every known secret and every password in a URL masked."""
        if self._pattern is not None:
            text = self._pattern.sub(MASK, text)
        return mask_url(text)


def mask_url(text: str) -> str:
    """Mask the password of every URL and connection string in ``text``."""
    if "://" in text:
        scheme, *rest = text.split("://")
        text = "://".join((scheme, *map(_mask_authority, rest)))
    if "password=" in text.lower():
        text = _QUERY_PASSWORD.sub(rf"\g<head>{MASK}", text)
    return text


def _mask_authority(text: str) -> str:
    """Mask ``password`` in ``user:password@host/…``. Each step looks at a character once, whatever the text is."""
    found = _AUTHORITY_END.search(text)
    end = len(text) if found is None else found.start()
    at, colon = text.rfind("@", 0, end), text.find(":", 0, end)
    if not 0 <= colon < at - 1 or "@" in text[:colon]:
        return text
    return f"{text[: colon + 1]}{MASK}{text[at:]}"


def shorten(text: str, longest: int = _LONGEST_TEXT) -> str:
    """Cut a text of somebody else to what a log can hold, and say how much is missing."""
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text) - longest} more characters)"


def _shown(text: str) -> str:
    """Return what may be logged of a text. It is cut twice: no secret is cut in two where it would be shown."""
    return shorten(redactor.redact(text[: 4 * _LONGEST_TEXT])) if len(text) > _LONGEST_TEXT else redactor.redact(text)


def escape_control(text: str) -> str:
    """Make control characters visible (``\\n``, ``\\x1b``), so that a message stays one line and moves no cursor."""
    return _CONTROL.sub(lambda match: repr(match[0])[1:-1], text)


redactor = Redactor()
"""The secrets that this process must not log."""


def add_secret(value: str | None) -> None:
    """Never log ``value``; None is accepted, because many secrets are optional."""
    if value:
        redactor.add(value)


class JsonFormatter(logging.Formatter):
    """One object a line: ``timestamp, level, logger, message, thread``, then ``extra`` fields and ``exception``."""

    def format(self, record: logging.LogRecord) -> str:
        """Render one record."""
        document: dict[str, Any] = {
            "timestamp": _moment(record).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": _level_name(record),
            "logger": record.name,
            "message": _shown(record.getMessage()),
            "thread": record.threadName,
        }
        document |= {key: _clean(value) for key, value in _extras(record).items() if key not in document}
        if record.exc_info:
            document["exception"] = _shown(_traceback(record))
        text = json.dumps(document, ensure_ascii=False, default=str)
        # json escapes C0 itself; the rest may not reach a terminal either.
        return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


class PrettyFormatter(logging.Formatter):
    """``12:03:04.123 info  worker.service [slot-3] message key=value``, for a person at a terminal."""

    def __init__(self, *, colour: bool) -> None:
        """Colour the level where the terminal shows it."""
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """Render one record; a traceback follows on indented lines."""
        level = _level_name(record)
        shown = f"\x1b[{_COLOURS[level]}m{level:<5}\x1b[0m" if self._colour else f"{level:<5}"
        clock = _moment(record).astimezone().strftime("%H:%M:%S.%f")[:-3]
        words = [_shown(record.getMessage())]
        words += [f"{key}={_clean(value)}" for key, value in _extras(record).items()]
        source = record.name.removeprefix("agent.")
        line = f"{clock} {shown} {source} [{record.threadName}] {escape_control(' '.join(words))}"
        if record.exc_info:
            trace = _shown(_traceback(record)).splitlines()
            line = "\n".join([line, *("    " + escape_control(part) for part in trace)])
        return line


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to the stream; a stderr that has gone away must not stop the service or print a second error."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        """Drop a line that can't be written; complain about one that can't be rendered."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def configure_logging(level: str, fmt: str, *, colour: bool = False, stream: TextIO | None = None) -> None:
    """Send every record of at least ``level`` to stderr, as ``json`` or ``pretty``. Replaces an earlier set-up."""
    logging.addLevelName(TRACE, "TRACE")
    logging.logProcesses = logging.logMultiprocessing = False
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if fmt == "json" else PrettyFormatter(colour=colour))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
    for noisy in ("pika", "psycopg.pool"):  # their failures reach us as exceptions, which we log once and in our words
        logging.getLogger(noisy).setLevel(logging.CRITICAL if LEVELS[level] > logging.DEBUG else logging.NOTSET)


def _forms(secret: str) -> set[str]:
    return {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _level_name(record: logging.LogRecord) -> str:
    return _NAMES.get(record.levelno) or record.levelname.lower()


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in record.__dict__.items() if key not in _STANDARD}


def _clean(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    return _shown(value if isinstance(value, str) else str(value))


def _traceback(record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[1] is None:
        return ""
    return "".join(traceback.format_exception(record.exc_info[1])).rstrip()
