"""An execution ends with a report, whatever goes wrong on its way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import pytest

from agent.errors import InvalidExecution
from agent.execution import action_runner
from agent.execution.action_runner import ActionRunner, RunnerSettings
from agent.execution.model import Action, Assignment, Claim, Execution
from agent.execution.outcome import results
from agent.execution.outcome.log_files import ArtifactFiles
from agent.execution.preparation import Preparation, Preparer
from agent.execution.report import Report
from agent.execution.secrets.resolving import ResolvedSecrets
from agent.process.cancellation import CancellationToken

SECRET = "planted-in-an-error"
ACTION = Action(5, "ops.rotate", 1, "ops", "rotate.sh", output_format="yaml")
SETTINGS = RunnerSettings(10_000, 10_000, "days", 7, None)


class Prepared:
    """Prepares ``echo`` at once, or raises what it was given."""

    def __init__(self, error: BaseException | None = None) -> None:
        self._error = error

    def secrets(self, *_: Any) -> ResolvedSecrets:
        return ResolvedSecrets({}, {}, (SECRET,), ())

    def prepare(self, *_: Any, **__: Any) -> Preparation:
        if self._error is not None:
            raise self._error
        return Preparation(("/bin/echo", "a: 1"), dict(os.environ), None, b"", 30.0, ())

    def done(self, preparation: Preparation) -> None:
        """Nothing was lent."""


def report(tmp_path: Path, error: BaseException | None = None) -> Report:
    runner = ActionRunner(cast("Preparer", Prepared(error)), ArtifactFiles(tmp_path), SETTINGS)
    claim = Claim(Execution(7, 5, "ops.rotate"), 5, "", "", (), ())
    return runner.run(Assignment(claim, ACTION), CancellationToken())


@pytest.mark.parametrize(
    "error", [RecursionError(SECRET), MemoryError(SECRET), UnicodeError(SECRET), KeyError(SECRET), OSError(24, SECRET)]
)
@pytest.mark.parametrize("place", ["preparing", "running", "parsing", "writing"])
def test_whatever_is_raised_a_report_comes_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, place: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    if place == "running":
        monkeypatch.setattr(action_runner, "run", fail)
    elif place == "parsing":
        monkeypatch.setattr(results, "parse_output", fail)
    elif place == "writing":
        monkeypatch.setattr(action_runner, "to_jsonb", fail)
    ended = report(tmp_path, error if place == "preparing" else None)
    assert (ended.execution_id, ended.status, ended.result["cause"]) == (7, "failed", "invalid")
    assert type(error).__name__ in ended.result["error"]
    assert SECRET not in str(ended.result)


def test_without_trouble_it_completes_and_what_is_refused_says_why(tmp_path: Path) -> None:
    assert report(tmp_path).result["data"] == {"a": 1}
    ended = report(tmp_path, InvalidExecution("no such file", hint="register the pack again"))
    assert ended.result["cause"] == "invalid"
    assert ended.result["error"].endswith("no such file (register the pack again)")
