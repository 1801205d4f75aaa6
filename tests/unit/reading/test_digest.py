"""The digest of an open file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from agent.reading.digest import digest_of

CONTENT = bytes(range(256)) * 8193  # two pieces and a bit


@pytest.mark.parametrize("size", [None, 0, 1, 1 << 20, (1 << 20) + 1, len(CONTENT), len(CONTENT) + 1])
def test_it_is_of_the_first_bytes_or_of_all_and_reading_goes_on_where_it_was(tmp_path: Path, size: int | None) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    with (tmp_path / "file").open("rb") as file:
        os.lseek(file.fileno(), 5, os.SEEK_SET)
        assert digest_of(file.fileno(), size) == hashlib.sha256(CONTENT[:size]).hexdigest()
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == 5
