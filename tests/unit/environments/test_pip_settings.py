"""What pip's own files of the image say is read as everything else that others may have written."""

from __future__ import annotations

import os
from pathlib import Path

from agent.environments.elf import binary_format
from agent.environments.pip_settings import pip_variables


def test_a_fifo_in_the_place_of_pips_own_file_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pip.conf")
    variables = pip_variables({"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "HOME": str(tmp_path)})
    assert variables == pip_variables({"HOME": str(tmp_path)})


def test_a_fifo_in_the_place_of_a_program_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "python3")
    assert binary_format(str(tmp_path / "python3")) == binary_format("/bin/sh")
