"""A sensor that is run in a terminal: with the environment of a service, and never beside one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.integration.sensors.watched import Watched
from tests.services.agent_process import ROOT
from tests.services.deployment import Deployment
from tests.services.server import attune
from tests.services.waiting import until

_SHOWS = """#!/bin/sh
printf '%s %s %s\\n' "$ATTUNE_SENSOR_REF" "$ATTUNE_API_URL" "$ATTUNE_SENSOR_TRIGGERS"
[ -z "$ATTUNE__SECURITY__JWT_SECRET" ] && [ -n "$ATTUNE_API_TOKEN" ] && echo as it should be >&2
trap 'echo asked to end; exit 0' TERM
while :; do sleep 0.1; done
"""


def by_hand(deployment: Deployment, ref: str, out: Path) -> subprocess.Popen[bytes]:
    """Start it as a person does."""
    command = [sys.executable, "-c", "from agent.cli.operator import main; main()", "sensor", "run", ref, "--local"]
    environment = {**os.environ, **deployment.environment}
    with out.open("wb") as file:
        return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=file, stderr=file)


def test_it_gets_what_a_service_would_give_it_and_ends_with_ctrl_c(watched: Watched, tmp_path: Path) -> None:
    deployment, out = watched.deployment, tmp_path / "out"
    deployment.add_sensor("watch.shown", _SHOWS)
    deployment.database.execute("UPDATE sensor SET enabled = false WHERE ref = 'watch.shown'")
    refused = attune(deployment.environment, "sensor", "run", "watch.shown", "--local")
    assert refused.returncode == 2
    assert "no enabled rule needs watch.shown" in refused.stderr
    rule = deployment.add_rule("watch.shown_rule", "watch.shown_1", trigger_params={"path": "/tmp"})
    process = by_hand(deployment, "watch.shown", out)
    try:
        until(lambda: "as it should be" in out.read_text(), "the sensor's output")
        ref, url, told = next(
            line.split(" ", 2) for line in out.read_text().splitlines() if line.startswith("watch.shown http")
        )
        assert (ref, url) == ("watch.shown", "http://127.0.0.1:8080")
        (told_rule,) = json.loads(told)
        assert (told_rule["id"], told_rule["config"]) == (rule, {"path": "/tmp"})
        # Switched on, it is for services again; but it runs here.
        deployment.database.execute("UPDATE sensor SET enabled = true WHERE ref = 'watch.shown'")
        again = attune(deployment.environment, "sensor", "run", "watch.shown", "--local")
        assert again.returncode != 0
        assert "both would send its events" in again.stderr
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0, out.read_text()
        assert "asked to end" in out.read_text()
        watched.wait("watch.shown", "running")
    finally:
        process.kill()
        process.wait()


def test_a_service_that_runs_it_is_named_and_gives_it_up_when_it_is_switched_off(
    watched: Watched, tmp_path: Path
) -> None:
    deployment, out = watched.deployment, tmp_path / "out"
    deployment.add_sensor("watch.elsewhere", watched.tells("elsewhere"))
    deployment.add_rule("watch.elsewhere_rule", "watch.elsewhere_1")
    watched.wait("watch.elsewhere", "running")
    refused = attune(deployment.environment, "sensor", "run", "watch.elsewhere", "--local")
    assert "watch.elsewhere runs on sensors-1" in refused.stderr
    deployment.database.execute("UPDATE sensor SET enabled = false WHERE ref = 'watch.elsewhere'")
    process = by_hand(deployment, "watch.elsewhere", out)
    try:
        until(lambda: "Ctrl-C ends it" in out.read_text(), "the sensor by hand")
        assert watched.row("watch.elsewhere")["status"] == "stopped"
    finally:
        process.terminate()
        process.wait(30)


def test_what_does_not_exist_is_said(watched: Watched) -> None:
    environment = watched.deployment.environment
    missing = attune(environment, "sensor", "run", "watch.nothing", "--local")
    assert "there is no sensor watch.nothing" in missing.stderr
    assert attune(environment, "sensor", "run", "watch.nothing").returncode == 2
