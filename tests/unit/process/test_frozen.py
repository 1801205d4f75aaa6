"""The frozen program's first lines."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import sys
from agent.process.frozen import postpone
postpone("colorsys")
import colorsys
print("ONE_THIRD" in vars(sys.modules["colorsys"]))
print(colorsys.rgb_to_hls(0, 0, 0), colorsys.ONE_THIRD == 1 / 3)
import colorsys as again
print(again.__file__ == colorsys.__file__, again.rgb_to_hls is colorsys.rgb_to_hls)
"""


def test_a_postponed_module_is_imported_when_something_of_it_is_asked_for() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["False", "(0.0, 0.0, 0.0) True", "True True"]


def test_what_a_postponed_module_does_not_have_is_missing() -> None:
    program = "from agent.process.frozen import postpone; postpone('colorsys'); import colorsys; colorsys.nothing"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "AttributeError: module 'colorsys' has no attribute 'nothing'" in done.stderr
