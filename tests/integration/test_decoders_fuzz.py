"""Decoders of what others write meet what nobody would write: each for some seconds, a minute for all."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services.availability import unavailable

ROOT = Path(__file__).parents[2]
#: Where each begins; what leads on is added by the fuzzer.
SEEDS = {
    "envelope": '{"message_id": "6f1d3a52-0c1f-5b7e-9d0a-4e2b8c7f1a36", "message_type": "ExecutionRequested",'
    ' "payload": {}}',
    "output": '{"a": [1, 2.5, null]}\n---\na: !!float 0x1\n',
    "dotenv": '{"outer": {"inner[0]": "it\'s"}, "list": [1]}',
    "versions": ">=3.11,<4 || ~=1.8.0_392-rc.1",
    "pattern": "(?P<v>\\d{1,3}(\\.\\d+)*)",
    "spool": '{"execution_id": 1, "action_id": 2, "action_ref": "a.b", "status": "failed", "result": {},'
    ' "logs": [], "secrets": []}',
    "pack": "ref: a\nlabel: A\nversion: 1.0.0\nname: a\nrunner_type: shell\nentry_point: a.sh\n",
}
#: As `pyproject.toml` says it.
HAS_BUILD = sys.version_info < (3, 14) and platform.machine() == "x86_64"
#: Under a minute together.
SECONDS = 5 if os.environ.get("CI") else 1


@pytest.mark.skipif(not HAS_BUILD, reason="there is no build of atheris for this Python or machine")
@pytest.mark.parametrize("decoder", SEEDS)
def test_a_decoder_raises_what_it_promises_and_nothing_else(tmp_path: Path, decoder: str) -> None:
    if importlib.util.find_spec("atheris") is None:
        unavailable("atheris", "it is installed with the group `test`")
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds/first").write_text(SEEDS[decoder])
    limits = [f"-max_total_time={SECONDS}", "-max_len=8192", "-timeout=30", "-rss_limit_mb=2048", "-verbosity=0"]
    command = [sys.executable, str(ROOT / "tests/children/fuzz_decoder.py"), decoder, *limits, str(tmp_path / "seeds")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
