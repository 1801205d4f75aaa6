"""What children may do to a sensor service: end at once, flood their output, refuse to end, leave processes behind."""

from __future__ import annotations

import os

import pytest

from tests.integration.sensors.watched import Watched
from tests.services.waiting import until


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_sensor_that_ends_at_once_waits_for_its_next_attempt_and_its_last_words_are_kept(watched: Watched) -> None:
    deployment = watched.deployment
    deployment.add_sensor("once.it", "#!/bin/sh\necho first >&2\necho last words >&2\nexit 0\n")
    deployment.add_rule("once.rule", "once.it_1")

    row = watched.wait("once.it", "backoff")

    assert (row["last_exit_code"], row["last_signal"], row["pid"]) == (0, None, None)
    assert row["consecutive_failures"] == 1
    assert row["stderr_excerpt"] == "first\nlast words"
    assert 4 < (row["next_restart_at"] - row["last_stopped_at"]).total_seconds() < 6
    assert row["meta"]["reason"] == "it ended by itself: exit code 0"


def test_a_signal_that_ends_a_sensor_is_named(watched: Watched) -> None:
    watched.deployment.add_sensor("signal.it", "#!/bin/sh\nkill -9 $$\n")
    watched.deployment.add_rule("signal.rule", "signal.it_1")

    row = watched.wait("signal.it", "backoff")

    assert (row["last_exit_code"], row["last_signal"]) == (None, 9)


def test_a_sensor_that_ignores_sigterm_is_killed_with_all_that_it_left_behind(watched: Watched) -> None:
    deployment = watched.deployment
    pids = deployment.directory / "stubborn"
    deployment.add_sensor(
        "stubborn.it",
        f"#!/bin/bash\ntrap '' TERM\n(setsid sleep 600 & echo $! >> {pids}) &\nwait\n"
        f"echo $$ >> {pids}\nwhile :; do sleep 1; done\n",
    )
    rule = deployment.add_rule("stubborn.rule", "stubborn.it_1")
    watched.wait("stubborn.it", "running")
    until(lambda: pids.exists() and len(pids.read_text().split()) == 2, "both processes")
    processes = [int(pid) for pid in pids.read_text().split()]
    assert all(map(is_alive, processes))

    deployment.database.execute("UPDATE rule SET enabled = false WHERE id = %s", [rule])

    row = watched.wait("stubborn.it", "stopped")
    assert row["last_signal"] == 9
    assert not any(map(is_alive, processes))


def test_a_flood_is_kept_in_a_few_pieces_and_disturbs_nobody(watched: Watched) -> None:
    deployment = watched.deployment
    deployment.add_sensor("flood.it", "#!/bin/sh\nexec yes 'a line of a flood'\n")
    rule = deployment.add_rule("flood.rule", "flood.it_1")
    versions = "SELECT version FROM artifact_version v JOIN artifact a ON a.id = v.artifact WHERE a.ref = %s"
    ref = "sensor.flood.it.stdout"
    until(lambda: any(row["version"] >= 8 for row in deployment.all(versions, [ref])), "eight pieces")

    deployment.add_sensor("beside.it", watched.tells("beside"))
    deployment.add_rule("beside.rule", "beside.it_1")
    watched.wait("beside.it", "running")
    deployment.database.execute("DELETE FROM rule WHERE id = %s", [rule])
    watched.wait("flood.it", "stopped")

    until(lambda: not list((deployment.artifacts / "sensors" / "flood.it").glob("*")), "filing the last piece")
    kept = deployment.all(versions, [ref])
    assert len(kept) == 4
    files = sorted((deployment.artifacts / "sensor/flood/it/stdout").iterdir())
    assert [file.name for file in files] == sorted(f"v{row['version']}.txt" for row in kept)
    assert all(file.read_bytes().endswith(b"a line of a flood\n") for file in files[:3])
    assert all(file.stat().st_size <= 128 * 1024 for file in files)


def test_output_is_a_version_of_the_sensors_log_while_it_runs(watched: Watched) -> None:
    deployment = watched.deployment
    deployment.add_sensor("speaks.it", '#!/bin/sh\necho "token: $ATTUNE_API_TOKEN"\necho to err >&2\nexec sleep 600\n')
    deployment.add_rule("speaks.rule", "speaks.it_1")
    path = deployment.artifacts / "sensor/speaks/it/stdout/v1.txt"

    until(path.exists, "the log's final name")

    until(lambda: path.read_text() == "token: ***\n", "the log")
    until((path.parents[1] / "stderr/v1.txt").exists, "the other log")
    row = deployment.one("SELECT * FROM artifact WHERE ref = 'sensor.speaks.it.stderr'")
    assert (row["scope"], row["owner"], row["retention_policy"], row["retention_limit"]) == (
        *("sensor", "speaks.it"),
        *("versions", 4),
    )
    version = deployment.one("SELECT * FROM artifact_version WHERE artifact = %s", [row["id"]])
    assert version["created_by"] == "sensor"
    assert version["meta"] == {"sensor_ref": "speaks.it", "stream": "stderr"}
    assert watched.row("speaks.it")["log_artifact_ref"] == "sensor.speaks.it.stderr"


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        pytest.param({"entrypoint": "missing.sh"}, "does not exist", id="no file"),
        pytest.param({"entrypoint": "../../elsewhere.sh"}, "does not exist", id="outside"),
        pytest.param({"runtime": "core.native"}, "its file is not executable", id="not executable"),
    ],
)
def test_what_can_not_be_started_here_says_why(watched: Watched, columns: dict[str, str], reason: str) -> None:
    deployment = watched.deployment
    name = "refused." + "_".join(columns.values()).replace(".", "").replace("/", "")
    deployment.add_sensor(name, None, **{"entrypoint": "plain.txt"} | columns)
    deployment.write("refused", "sensors/plain.txt", "no program", mode=0o644)
    deployment.add_rule(f"{name}_rule", f"{name}_1")

    row = watched.wait(name, "failed")

    assert reason in row["meta"]["reason"]


def test_a_sensor_that_fits_nowhere_says_why_and_starts_once_it_does(watched: Watched) -> None:
    deployment = watched.deployment
    sensor = deployment.add_sensor("refused.nowhere", watched.tells("nowhere"), worker_selector={"zone": "moon"})
    deployment.add_rule("refused.nowhere_rule", "refused.nowhere_1")

    row = watched.wait("refused.nowhere", "failed")
    assert row["meta"]["reason"] == "has no label zone (required: moon)"

    deployment.database.execute("UPDATE sensor SET worker_selector = '{}' WHERE id = %s", [sensor])
    row = watched.wait("refused.nowhere", "running")
    assert "reason" not in row["meta"]


def test_no_setting_of_the_service_reaches_a_sensor(watched: Watched) -> None:
    deployment = watched.deployment
    seen = deployment.directory / "variables"
    deployment.add_sensor(
        "variables.it", f"#!/bin/sh\nenv > {seen}.new\nmv {seen}.new {seen}\nexec sleep 600\n", config={"depth": 3}
    )
    deployment.add_rule("variables.rule", "variables.it_1")
    until(seen.exists, "the variables")

    variables = dict(line.split("=", 1) for line in seen.read_text().splitlines() if "=" in line)

    assert not [name for name in variables if name.startswith("ATTUNE__")]
    assert "ATTUNE_MQ_URL" not in variables
    assert variables["ATTUNE_SENSOR_REF"] == "variables.it"
    assert variables["ATTUNE_SENSOR_CONFIG"] == '{"depth": 3}'
    assert variables["ATTUNE_MQ_EXCHANGE"] == "attune.events"
    assert variables["ATTUNE_LOG_LEVEL"] == "info"
    assert variables["PWD"] == str(deployment.packs / "variables")
    assert os.path.basename(variables["ATTUNE_ARTIFACTS_DIR"]) == "artifacts"
