"""The memory of prepared environments: quick, and never older than the disk."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest

from agent.environments.failed_builds import SharedFailures
from agent.environments.model import PreparedEnvironment
from agent.environments.warm import WarmEnvironments
from agent.errors import EnvironmentFailed
from agent.runtimes.model import ExecutionConfig
from tests.unit.environments.requests import PYTHON, python_request

PREPARED = PreparedEnvironment(None, None, "/usr/bin/python3", {})


def test_it_lasts_until_a_file_changes_appears_or_vanishes(tmp_path: Path) -> None:
    request, warm = python_request(tmp_path), WarmEnvironments()
    manifest, lock = tmp_path / "requirements.txt", tmp_path / "requirements.lock"
    manifest.write_text("a")

    def remember() -> None:
        warm.put(request, PREPARED, [manifest, lock])
        assert warm.get(request) is PREPARED

    for change in (lambda: manifest.write_text("ab"), lambda: lock.write_text("x"), manifest.unlink):
        remember()
        change()
        assert warm.get(request) is None


def test_an_equal_definition_that_was_read_again_is_the_same(tmp_path: Path) -> None:
    request, warm = python_request(tmp_path), WarmEnvironments()
    warm.put(request, PREPARED)
    again = dataclasses.replace(request, config=ExecutionConfig.from_json(PYTHON))
    assert warm.get(again) is PREPARED
    assert warm.get(dataclasses.replace(request, config=ExecutionConfig())) is None
    assert warm.get(dataclasses.replace(request, interpreter_version="3.11.9")) is None
    assert warm.get(dataclasses.replace(request, dir_name="python-3.12")) is None


def test_a_makeshift_answer_expires(tmp_path: Path) -> None:
    request, warm = python_request(tmp_path), WarmEnvironments()
    warm.put(request, PREPARED, lasts=600.0)
    assert warm.get(request) is PREPARED
    warm.put(request, PREPARED, lasts=-1.0)
    assert warm.get(request) is None


def test_a_removed_pack_is_forgotten(tmp_path: Path) -> None:
    request, warm = python_request(tmp_path), WarmEnvironments()
    warm.put(request, PREPARED)
    warm.forget_pack("other")
    assert warm.get(request) is PREPARED
    warm.forget_pack("demo")
    assert warm.get(request) is None


def test_those_who_waited_share_a_failure_and_later_ones_try_again() -> None:
    failures, before = SharedFailures(), time.monotonic()
    failures.raise_since("key", before)
    failures.note("key", EnvironmentFailed("no such package", step="install dependencies"))
    with pytest.raises(EnvironmentFailed, match="no such package") as caught:
        failures.raise_since("key", before)
    assert caught.value.step == "install dependencies"
    failures.raise_since("key", time.monotonic())
    failures.raise_since("other", before)


def test_a_cancelled_build_is_nobody_elses_failure() -> None:
    failures, before = SharedFailures(), time.monotonic()
    failures.note("key", EnvironmentFailed("cancelled", cancelled=True))
    failures.raise_since("key", before)
