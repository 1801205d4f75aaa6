"""Reading a file never waits for anybody and never ends in a file that has no end."""

import os
import socket
from pathlib import Path

import pytest

from agent.reading.regular_files import read_regular, read_regular_text


def test_a_file_is_read_up_to_the_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_regular(tmp_path / "file", 5) == b"12345"
    with pytest.raises(OSError, match="larger than 0 KiB"):
        read_regular(tmp_path / "file", 4)


def test_a_fifo_a_socket_a_directory_and_a_device_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        (tmp_path / "link").symlink_to("/dev/zero")
        for path in (tmp_path / "fifo", tmp_path / "socket", tmp_path, Path("/dev/zero"), tmp_path / "link"):
            with pytest.raises(OSError, match="not a regular file"):
                read_regular(path, 10)


def test_text_is_utf_8(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xff")
    with pytest.raises(UnicodeDecodeError):
        read_regular_text(tmp_path / "file", 10)
