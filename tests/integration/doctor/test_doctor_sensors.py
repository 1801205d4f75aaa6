"""``attune-agent sensor doctor``: what a sensor service needs beside what a worker does."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.services.agent_process import ROOT
from tests.services.ports import free_ports

pytestmark = pytest.mark.postgres


def test_a_server_that_is_away_and_a_missing_secret_are_found(postgres_url: str, migrated_template: str) -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    settings = {"ATTUNE__DATABASE__URL": postgres_url, "ATTUNE__MESSAGE_QUEUE__URL": "database", "ATTUNE_API_URL": url}

    done = subprocess.run(
        [sys.executable, "-m", "agent", "sensor", "doctor", "--json"],
        env=dict(os.environ) | settings,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 1, done.stderr
    found = {entry["check"]: entry for entry in json.loads(done.stdout)["findings"]}
    assert found["events"]["verdict"] == "fail"
    assert url in found["events"]["detail"]
    assert found["sensor tokens"]["verdict"] == "warn"
    assert "security.jwt_secret" in found["sensor tokens"]["remedy"]
