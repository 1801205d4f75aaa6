"""The file of a log-in: nobody else's to read, never half written, damaged ones said so."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from agent.client.login_file import Login, LoginFile
from agent.errors import AgentError, ConfigurationError

LOGIN = Login("https://attune.example.org", "ada", "access", "refresh", "/etc/ca.pem")


@pytest.fixture
def file(tmp_path: Path) -> LoginFile:
    return LoginFile(tmp_path / "home" / "attune" / "login.json")


def test_what_is_written_is_read_again_by_its_owner_only(file: LoginFile) -> None:
    assert file.read() is None
    old = os.umask(0)
    try:
        file.write(LOGIN)
    finally:
        os.umask(old)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    assert file.read() == LOGIN
    assert [path.name for path in file.path.parent.iterdir()] == ["login.json"]
    file.forget()
    file.forget()
    assert file.read() is None


def test_a_file_that_others_may_read_is_refused_with_the_remedy(file: LoginFile) -> None:
    file.write(LOGIN)
    file.path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="nobody else may read") as error:
        file.read()
    assert "chmod 600" in (error.value.hint or "")


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"url": "x"}', b"\xff", b"null", b"[" * 70_000])
def test_a_damaged_file_is_said_to_be_one(file: LoginFile, text: bytes) -> None:
    file.write(LOGIN)
    file.path.write_bytes(text)
    with pytest.raises(ConfigurationError, match="damaged"):
        file.read()


def test_a_link_and_a_fifo_in_its_place_are_refused(file: LoginFile, tmp_path: Path) -> None:
    file.path.parent.mkdir(parents=True)
    file.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="can't be read"):
        file.read()
    file.path.unlink()
    os.mkfifo(file.path, 0o600)
    with pytest.raises(ConfigurationError, match="must be a file"):
        file.read()


def test_where_it_cant_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "attune").write_text("no directory")
    with pytest.raises(AgentError, match="can't be kept in"):
        LoginFile(tmp_path / "attune" / "login.json").write(LOGIN)
