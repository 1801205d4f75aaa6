"""One sensor service on real servers: what it starts, starts again and ends as rules come, change and go."""

from __future__ import annotations

import json

from tests.integration.sensors.watched import Watched
from tests.services.deployment import envelope
from tests.services.waiting import until


def test_a_sensor_runs_once_a_rule_needs_it_and_ends_with_the_last_rule(watched: Watched) -> None:
    deployment = watched.deployment
    deployment.add_sensor("first.it", watched.tells("first"))
    rule = deployment.add_rule("first.rule", "first.it_1", trigger_params={"path": "/tmp"})

    row = watched.wait("first.it", "running")
    assert row["active_rule_count"] == 1
    assert row["pid"] > 0
    until(lambda: watched.lives("first"), "the sensor telling")
    (told,) = watched.lives("first")
    assert [(one["id"], one["ref"], one["trigger_ref"], one["config"]) for one in told] == [
        (rule, "first.rule", "first.it_1", {"path": "/tmp"})
    ]

    deployment.database.execute("DELETE FROM rule WHERE id = %s", [rule])
    row = watched.wait("first.it", "stopped")
    assert row["pid"] is None
    assert row["last_stopped_at"] is not None


def test_a_burst_of_a_hundred_changes_is_one_restart_that_knows_the_last_of_them(watched: Watched) -> None:
    deployment = watched.deployment
    deployment.add_sensor("burst.it", watched.tells("burst"))
    rule = deployment.add_rule("burst.rule", "burst.it_1", trigger_params={"number": 0})
    until(lambda: watched.lives("burst"), "the first life")

    for number in range(1, 101):
        deployment.database.execute(
            "UPDATE rule SET trigger_params = %s WHERE id = %s", [json.dumps({"number": number}), rule]
        )
    until(lambda: watched.lives("burst")[-1][0]["config"] == {"number": 100}, "knowing the last change")

    assert len(watched.lives("burst")) == 2
    assert watched.row("burst.it")["consecutive_failures"] == 0


def test_a_sensor_that_follows_rules_itself_is_not_started_again_for_them(watched: Watched) -> None:
    deployment = watched.deployment
    deployment.add_sensor("follows.it", watched.tells("follows"), config={"reload": "self"})
    deployment.add_rule("follows.rule", "follows.it_1")
    deployment.add_sensor("restarts.it", watched.tells("restarts"))
    deployment.add_rule("restarts.rule", "restarts.it_1")
    until(lambda: watched.lives("follows") and watched.lives("restarts"), "both")

    deployment.insert("rule", watched.rule_like("follows.rule") | {"ref": "follows.more"})
    deployment.insert("rule", watched.rule_like("restarts.rule") | {"ref": "restarts.more"})
    until(lambda: len(watched.lives("restarts")) == 2, "the restart of the other one")

    assert len(watched.lives("restarts")[1]) == 2
    assert len(watched.lives("follows")) == 1
    until(lambda: watched.row("follows.it")["active_rule_count"] == 2, "counting the rules")


def test_a_disabled_sensor_ends_and_an_enabled_one_starts(watched: Watched) -> None:
    deployment = watched.deployment
    sensor = deployment.add_sensor("switched.it", watched.tells("switched"))
    deployment.add_rule("switched.rule", "switched.it_1")
    watched.wait("switched.it", "running")

    deployment.database.execute("UPDATE sensor SET enabled = false WHERE id = %s", [sensor])
    watched.wait("switched.it", "stopped")
    deployment.database.execute("UPDATE sensor SET enabled = true WHERE id = %s", [sensor])
    watched.wait("switched.it", "running")
    until(lambda: len(watched.lives("switched")) == 2, "the second life")


def test_a_second_life_is_told_since_when_none_ran(watched: Watched) -> None:
    deployment = watched.deployment
    deployment.add_sensor("absent.it", watched.tells("absent", '"$ATTUNE_SENSOR_ABSENT_SINCE"'))
    rule = deployment.add_rule("absent.rule", "absent.it_1")
    watched.wait("absent.it", "running")
    deployment.database.execute("UPDATE rule SET enabled = false WHERE id = %s", [rule])
    stopped = watched.wait("absent.it", "stopped")["last_stopped_at"]

    deployment.database.execute("UPDATE rule SET enabled = true WHERE id = %s", [rule])
    until(lambda: len(watched.lines("absent")) == 2, "the second life")

    first, second = watched.lines("absent")
    assert first == ""
    assert second == stopped.isoformat().replace("+00:00", "Z")


def test_more_rules_than_a_variable_holds_are_told_in_a_file(watched: Watched) -> None:
    deployment = watched.deployment
    copied = deployment.directory / "copied"
    deployment.add_sensor(
        "many.it",
        f'#!/bin/sh\ncp "$ATTUNE_SENSOR_TRIGGERS_FILE" {copied}.new\nmv {copied}.new {copied}\n'
        'echo "${ATTUNE_SENSOR_TRIGGERS-none} $ATTUNE_SENSOR_TRIGGERS_FILE" >> "$TOLD-many"\nexec sleep 600\n',
    )
    with deployment.connect() as connection, connection.transaction():
        pack = deployment.add_pack("many")
        connection.execute(
            "INSERT INTO rule (ref, pack, pack_ref, label, action_ref, trigger, trigger_ref, enabled, trigger_params)"
            " SELECT 'many.rule' || n, %s, 'many', 'x', 'core.noop', t.id, t.ref, true, jsonb_build_object('n', n)"
            "   FROM generate_series(1, 2000) AS n, trigger t WHERE t.ref = 'many.it_1'",
            [pack],
        )
    until(lambda: watched.lines("many"), "the sensor telling")

    assert len(json.loads(copied.read_text())) == 2000
    told, path = watched.lines("many")[0].split()
    assert told == "none"
    deployment.database.execute("DELETE FROM rule WHERE pack_ref = 'many'")
    watched.wait("many.it", "stopped")
    assert not (deployment.directory / path).exists()


def test_a_message_wakes_the_service_as_well(watched: Watched) -> None:
    deployment = watched.deployment
    deployment.add_sensor("woken.it", watched.tells("woken"))
    deployment.database.execute("ALTER TABLE rule DISABLE TRIGGER server_rule_changed")
    try:
        deployment.add_rule("woken.rule", "woken.it_1")
        body, message_id = envelope("RuleCreated", {"rule_ref": "woken.rule"}, source="api-service")
        deployment.wire.publish("attune.events", "rule.created", body, message_id)
        watched.wait("woken.it", "running")
    finally:
        deployment.database.execute("ALTER TABLE rule ENABLE TRIGGER server_rule_changed")


def test_the_service_advertises_what_it_runs(watched: Watched) -> None:
    row = watched.deployment.one("SELECT worker_role::text AS role, capabilities FROM worker WHERE name = 'sensors-1'")
    assert row["role"] == "sensor"
    told = row["capabilities"]
    assert {"python", "shell", "native", "builtin"} <= set(told["runtimes"])
    assert told["sensor_locks"] is True
    assert told["max_concurrent_sensors"] == 40
    assert told["agent_binary_name"] == "attune-sensor-agent"
    assert {"sensor_processes_monitored", "sensor_processes_running", "active_rules"} <= told.keys()


def test_the_service_answers_health_checks_and_leaves_its_rows_true(watched: Watched) -> None:
    deployment = watched.deployment
    extra = {"ATTUNE__SENSOR__ONLY": "left.*"}
    deployment.add_sensor("left.it", watched.tells("left"), worker_selector={"only": "second"})
    deployment.add_rule("left.rule", "left.it_1")
    second = deployment.start_agent("sensors-2", sensors=True, ATTUNE__SENSOR__LABELS='{"only": "second"}', **extra)
    watched.wait("left.it", "running", worker="sensors-2")

    assert second.stop() == 0

    row = watched.row("left.it", "sensors-2")
    assert (row["status"], row["pid"], row["last_signal"]) == ("stopped", None, 15)
    worker = deployment.one("SELECT status::text AS status FROM worker WHERE name = 'sensors-2'")
    assert worker["status"] == "inactive"
