"""The spool keeps what it was given, and believes only what this worker itself has written."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from agent.execution.recording import spool as spool_module
from agent.execution.recording.spool import Spool
from agent.execution.report import LogFile, SecretValue
from tests.unit.examples import examples
from tests.unit.fakes.worker import report

FULL = report(
    7,
    "failed",
    logs=(LogFile("stderr", "core.noop.stderr", "/a/7.stderr", 12, "versions", 3),),
    secrets=(SecretValue("/token", "core.noop", {"nonce": "n"}, "hash"),),
    wants_stderr_log=True,
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "artifacts/spool"


def test_a_later_life_finds_what_was_kept(directory: Path) -> None:
    Spool(directory).keep(FULL)
    assert list(Spool(directory).waiting()) == [FULL]


def test_reports_come_back_with_nothing_else_around(directory: Path) -> None:
    spool = Spool(directory)
    for id_ in (1, 2, 30):
        spool.keep(report(id_))
    assert {found.execution_id for found in Spool(directory).waiting()} == {1, 2, 30}
    assert sorted(file.name for file in directory.iterdir()) == ["1.json", "2.json", "30.json"]


def test_what_is_kept_only_its_owner_reads(directory: Path) -> None:
    before = os.umask(0)
    try:
        Spool(directory).keep(FULL)
    finally:
        os.umask(before)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "7.json").stat().st_mode) == 0o600


def test_what_is_removed_is_gone_for_the_next_life_too(directory: Path) -> None:
    spool = Spool(directory)
    spool.keep(report(1))
    spool.keep(report(2))
    spool.remove(report(1))
    spool.remove(report(3))
    assert [found.execution_id for found in Spool(directory).waiting()] == [2]


def test_a_later_life_removes_what_it_has_taken_over(directory: Path) -> None:
    Spool(directory).keep(FULL)
    later = Spool(directory)
    for found in later.waiting():
        later.remove(found)
    assert list(directory.iterdir()) == []


def test_without_a_directory_it_keeps_nothing_and_fails_at_nothing() -> None:
    spool = Spool(None)
    spool.keep(FULL)
    spool.note_unannounced(5)
    spool.remove(FULL)
    assert (list(spool.waiting()), spool.unannounced()) == ([], None)


def of_somebody_else(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = directory.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)


def writable_by_the_group(directory: Path, _: pytest.MonkeyPatch) -> None:
    directory.chmod(0o720)


def writable_by_everybody(directory: Path, _: pytest.MonkeyPatch) -> None:
    directory.chmod(0o702)


def a_link(directory: Path, _: pytest.MonkeyPatch) -> None:
    directory.rename(directory.with_name("elsewhere"))
    directory.symlink_to(directory.with_name("elsewhere"))


FORGERIES = [of_somebody_else, writable_by_the_group, writable_by_everybody, a_link]


@pytest.mark.parametrize("forge", FORGERIES)
def test_a_directory_that_others_can_have_written_is_not_believed(
    directory: Path, monkeypatch: pytest.MonkeyPatch, forge: Callable[[Path, pytest.MonkeyPatch], None]
) -> None:
    spool = Spool(directory)
    spool.keep(FULL)
    spool.note_unannounced(1_700_000_000)
    forge(directory, monkeypatch)
    assert (list(Spool(directory).waiting()), Spool(directory).unannounced()) == ([], None)


@pytest.mark.parametrize("forge", FORGERIES)
def test_nothing_is_written_where_others_can_write(
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    forge: Callable[[Path, pytest.MonkeyPatch], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    directory.mkdir(parents=True, mode=0o700)
    forge(directory, monkeypatch)
    spool = Spool(directory)
    spool.keep(FULL)
    spool.note_unannounced(1_700_000_000)
    assert list(directory.iterdir()) == []
    assert "the result of execution 7 can't be kept on disk" in caplog.text


def test_a_file_in_the_place_of_the_directory_costs_nothing_but_the_disk(directory: Path) -> None:
    directory.parent.mkdir()
    directory.write_text("")
    spool = Spool(directory)
    spool.keep(FULL)
    assert (list(spool.waiting()), spool.unannounced()) == ([], None)


def test_a_link_that_waits_in_the_place_of_a_report_is_not_followed(directory: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    directory.mkdir(parents=True, mode=0o700)
    for name in ("7.part", "7.json.part", "7.json"):
        (directory / name).symlink_to(victim)
    Spool(directory).keep(FULL)
    assert victim.read_text() == "mine"


DAMAGED = {
    "empty": b"",
    "cut short": FULL.to_json().encode()[:-20],
    "not UTF-8": b"\xff\xfe",
    "another type": b"[]",
    "a key is missing": b'{"execution_id": 1}',
    "a key too many": FULL.to_json().encode().replace(b'"status"', b'"more": 1, "status"'),
    "logs are no list": FULL.to_json().encode().replace(b'"logs": [{', b'"logs": 5, "x": [{'),
    "zeros, as after a power cut": b"\0" * 64,
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_named_and_holds_up_no_other(
    directory: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    Spool(directory).keep(FULL)
    (directory / "6.json").write_bytes(content)
    (directory / "8.json").mkdir()
    assert list(Spool(directory).waiting()) == [FULL]
    assert "6.json is damaged" in caplog.text
    assert (directory / "6.json").exists()


@examples(60, HealthCheck.function_scoped_fixture)
@given(cut=st.integers(0, len(FULL.to_json())), tail=st.binary(max_size=8))
def test_a_file_that_was_cut_anywhere_is_never_an_error(tmp_path: Path, cut: int, tail: bytes) -> None:
    directory = tmp_path / "cut"
    directory.mkdir(mode=0o700, exist_ok=True)
    (directory / "7.json").write_bytes(FULL.to_json().encode()[:cut] + tail)
    assert list(Spool(directory).waiting()) in ([], [FULL])


def test_half_a_file_of_a_killed_life_is_no_report(directory: Path) -> None:
    Spool(directory).keep(FULL)
    (directory / "9.part").write_text("{")
    assert list(Spool(directory).waiting()) == [FULL]


def test_it_keeps_so_many_and_takes_others_when_some_are_gone(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "MAX_REPORTS", 2)
    spool = Spool(directory)
    for id_ in (1, 2, 3):
        spool.keep(report(id_))
    assert [found.execution_id for found in Spool(directory).waiting()] == [1, 2]
    spool.remove(report(1))
    spool.keep(report(3))
    assert [found.execution_id for found in Spool(directory).waiting()] == [2, 3]


def test_a_disk_that_takes_nothing_is_said_and_tried_again(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(directory)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        spool.keep(FULL)
    assert "No space left on device" in caplog.text
    assert list(Spool(directory).waiting()) == []
    spool.keep(FULL)
    assert list(Spool(directory).waiting()) == [FULL]


def test_a_report_is_on_the_disk_before_it_has_its_name(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut after the rename must not leave an empty file in its place."""
    steps: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, name=name, real=real: (steps.append(name), real(*args))[1])
    Spool(directory).keep(FULL)
    assert steps == ["fsync", "replace"]


def test_a_later_life_learns_since_when_messages_waited(directory: Path) -> None:
    spool = Spool(directory)
    spool.note_unannounced(1_700_000_000)
    assert Spool(directory).unannounced() == datetime.fromtimestamp(1_700_000_000, UTC)
    spool.note_unannounced(1_700_000_050)
    assert Spool(directory).unannounced() == datetime.fromtimestamp(1_700_000_050, UTC)
    spool.note_unannounced(None)
    assert Spool(directory).unannounced() is None


def test_once_all_is_announced_the_earlier_lifes_note_goes_too(directory: Path) -> None:
    Spool(directory).note_unannounced(1_700_000_000)
    later = Spool(directory)
    assert later.unannounced() is not None
    later.note_unannounced(None)
    assert Spool(directory).unannounced() is None


@pytest.mark.parametrize("content", ["", "soon", "1e400", "99999999999999999999"])
def test_a_damaged_note_is_none(directory: Path, content: str) -> None:
    Spool(directory).note_unannounced(1)
    (directory / "unannounced").write_text(content)
    assert Spool(directory).unannounced() is None


def test_the_note_is_no_report(directory: Path) -> None:
    spool = Spool(directory)
    spool.note_unannounced(1)
    spool.keep(FULL)
    assert list(Spool(directory).waiting()) == [FULL]
