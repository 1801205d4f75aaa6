"""Every error ends as one line and an exit code."""

from __future__ import annotations

import pytest

from agent import errors, logs
from agent.cli.edge import guarded
from agent.logs import Redactor


def failing(error: BaseException):
    """A body that raises."""

    def body() -> int:
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.AgentError("x"), 1),
        (errors.UsageError("x"), 2),
        (errors.ConfigurationError("x"), 2),
        (errors.DatabaseUnavailable("x"), 3),
        (errors.BrokerUnavailable("x"), 4),
        (errors.Interrupted("x"), 75),
        (KeyboardInterrupt(), 130),
    ],
)
def test_the_exit_code_is_that_of_the_error(error: BaseException, code: int, capsys) -> None:
    assert guarded("prog", failing(error)) == code
    assert capsys.readouterr().err.startswith("prog: ")


def test_success_says_nothing(capsys) -> None:
    assert guarded("prog", lambda: 0) == 0
    assert capsys.readouterr() == ("", "")


def test_an_error_is_one_line_and_its_hint_another(capsys) -> None:
    guarded("prog", failing(errors.AgentError("went\rwrong \x1b[2J", hint="do this")))
    assert capsys.readouterr().err == "prog: went\\rwrong \\x1b[2J\nhint: do this\n"


def test_a_list_of_problems_keeps_its_lines(capsys) -> None:
    guarded("prog", failing(errors.PackError("two problems:\n  one\n  two")))
    assert capsys.readouterr().err == "prog: two problems:\n  one\n  two\n"


def test_a_known_secret_is_masked(capsys, monkeypatch) -> None:
    monkeypatch.setattr(logs, "redactor", Redactor())
    logs.redactor.add("hunter2")
    guarded("prog", failing(errors.AgentError("hunter2 at postgresql://u:pw12@h/d")))
    assert capsys.readouterr().err == "prog: [redacted] at postgresql://u:[redacted]@h/d\n"


def test_a_bug_shows_its_traceback_and_has_its_own_code(capsys) -> None:
    assert guarded("prog", failing(ZeroDivisionError("oops"))) == 70
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("prog: this is a bug in the program; please report the lines above\n")
