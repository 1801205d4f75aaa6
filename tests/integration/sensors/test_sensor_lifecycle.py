"""One sensor service on real servers: what it starts, starts again and ends as rules come, change and go."""

from __future__ import annotations

from tests.integration.sensors.watched import TELLS, Watched
from tests.services.waiting import until


def test_a_sensor_runs_once_a_rule_needs_it_and_ends_with_the_last_rule(watched: Watched) -> None:
    deployment = watched.deployment
    deployment.add_sensor("watch.first", TELLS)
    rule = deployment.add_rule("watch.one", "watch.first_1", trigger_params={"path": "/tmp"})

    row = watched.wait("watch.first", "running")
    assert row["active_rule_count"] == 1
    assert row["pid"] > 0
    until(lambda: watched.lives(), "the sensor telling")
    (told,) = watched.lives()
    assert [(one["id"], one["ref"], one["trigger_ref"], one["config"]) for one in told] == [
        (rule, "watch.one", "watch.first_1", {"path": "/tmp"})
    ]

    deployment.database.execute("DELETE FROM rule WHERE id = %s", [rule])
    row = watched.wait("watch.first", "stopped")
    assert row["pid"] is None
    assert row["last_stopped_at"] is not None
