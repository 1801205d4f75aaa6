"""Definitions on a shared volume: what can't be read is named and passed over, and nothing waits."""

import logging
import os
from pathlib import Path

import pytest

from agent.runtimes.definition_files import find_template

GOOD = "ref: core.cobol\nname: Cobol\nexecution_config: {interpreter: {binary: cobc}}\n"
BAD = {
    "date": "ref: core.x\nwhen: 2001-99-99\n",
    "number": "ref: core.x\nsize: " + "9" * 6_000,
    "bomb": "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
    + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 10)}]\n" for n in range(9)),
    "deep": "[" * 600,
    "no YAML": "{",
    "bytes": "\x00",
    "list": "[]",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_a_file_that_cannot_be_read_is_named_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    folder = tmp_path / "core" / "runtimes"
    folder.mkdir(parents=True)
    (folder / "a.yaml").write_text(text)
    (folder / "b.yaml").write_text(GOOD)
    with caplog.at_level(logging.WARNING):
        found = find_template("cobol", tmp_path)
    assert found is not None
    assert "a.yaml is skipped" in caplog.text


def test_a_fifo_in_a_pack_keeps_nobody_waiting(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "core" / "runtimes"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "a.yaml")
    (folder / "b.yaml").write_text(GOOD)
    with caplog.at_level(logging.WARNING):
        assert find_template("cobol", tmp_path) is not None
    assert "not a regular file" in caplog.text
