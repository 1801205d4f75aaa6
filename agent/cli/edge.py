"""The one place that turns an error into text on stderr and an exit code."""

from __future__ import annotations

import codecs
import io
import sys
from collections.abc import Callable

from agent.cli.start import reset_inherited
from agent.errors import AgentError

BUG = 70
INTERRUPTED = 130


def guarded(program: str, body: Callable[[], int]) -> int:
    """Run ``body`` and return its exit code, or that of the error that ended it, said in one line (and a hint)."""
    reset_inherited()
    _speak_any_language()
    try:
        code = body()
        if sys.stdout is not None:
            sys.stdout.flush()  # a reader that has gone is found out here, not at the interpreter's end
        return code
    except AgentError as error:
        complain(program, str(error), error.hint, place=error.place)
        return error.exit_code
    except KeyboardInterrupt:
        complain(program, "interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        return _reader_has_gone()
    except Exception:  # noqa: BLE001 - the edge: a bug is shown whole, with its own exit code
        import traceback

        traceback.print_exc()
        complain(program, "this is a bug in the program; please report the lines above")
        return BUG


def complain(program: str, message: str, hint: str | None = None, *, place: str | None = None) -> None:
    """Print what is wrong, what to do, and which deployment was asked; no secret drives or reaches the terminal."""
    from agent.logs import escape_control, redactor

    # A hint is our own text: masking would only spoil the URL that it gives as an example.
    for label, text in ((program, redactor.redact(message)), ("hint", hint), ("asked", place)):
        if text:
            lines = [escape_control(line) for line in text.split("\n")]
            print(f"{label}: " + "\n".join(lines), file=sys.stderr)


def _speak_any_language() -> None:
    """An output that can't say a character (a container without a locale) gets an escape, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            ascii_only = codecs.lookup(stream.encoding).name == "ascii"
            stream.reconfigure(encoding="utf-8" if ascii_only else None, errors="backslashreplace")


def _reader_has_gone() -> int:
    """``attune execution list | head`` is no failure; but Python must not try to flush what nobody reads."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
