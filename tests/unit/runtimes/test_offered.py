"""Which runtimes a service offers: environment, configuration, detection, database."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from agent.runtimes.detected import DetectedInterpreter
from agent.runtimes.machine import Machine
from agent.runtimes.model import Runtime
from agent.runtimes.offered import Role, RuntimeDetector, Tier
from tests.unit.runtimes.rows import commands, runtime

FOUND = [DetectedInterpreter("shell", "/bin/bash", "5.2"), DetectedInterpreter("node", "/usr/bin/node", "20.11.0")]
ALWAYS = commands(always_available=True)
ROWS = [
    runtime("core.native", "Native", id_=1, distributions=ALWAYS),
    runtime("core.nodejs", "Node.js", id_=2, distributions=ALWAYS),
    runtime("core.ruby", "Ruby", id_=3, distributions=commands({"binary": "no-such-ruby"})),
    runtime("core.sensor.builtin", "Builtin", id_=4, distributions=ALWAYS),
]


def detector(override: str | None = None, role: Role = "worker", **capabilities: Any) -> RuntimeDetector:
    return RuntimeDetector(role, override=override, capabilities=capabilities)


def unexpected() -> list[Runtime]:
    raise AssertionError("the database must not be asked")


def test_the_environment_outranks_the_configuration_and_everything_that_is_found() -> None:
    offered = detector("python,shell", runtimes=["ruby"]).from_database(unexpected, Machine.of(env={}))
    assert offered.runtimes == offered.allowed == ("python", "shell")
    assert (offered.tier, offered.source) == (Tier.ENVIRONMENT, "ATTUNE_WORKER_RUNTIMES")


def test_names_are_canonical_in_order_and_unique() -> None:
    assert detector(" Python3, python,NodeJS ,cobol,").from_detection([]).runtimes == ("python", "node", "cobol")
    assert detector(runtimes=["bash", 3, "Shell", "nodejs"]).from_detection([]).runtimes == ("shell", "node")


def test_an_empty_override_means_no_runtimes_and_is_said_loudly(caplog: pytest.LogCaptureFixture) -> None:
    for value in ("", " , "):
        with caplog.at_level(logging.WARNING):
            offered = detector(value).from_detection(FOUND)
        assert offered.runtimes == offered.allowed == ()
        assert "runs nothing" in caplog.text


def test_the_configuration_outranks_what_is_found() -> None:
    offered = detector(runtimes=["python", "native"]).from_database(unexpected, Machine.of(env={}))
    assert offered.runtimes == offered.allowed == ("python", "native")
    assert (offered.tier, offered.source) == (Tier.CONFIGURATION, "worker.capabilities.runtimes")


@pytest.mark.parametrize("listed", [[], "python", [3], {}])
def test_a_configuration_that_names_nothing_is_ignored_with_a_warning(
    listed: Any, caplog: pytest.LogCaptureFixture
) -> None:
    offered = detector(runtimes=listed).from_detection(FOUND)
    assert offered.tier is Tier.DETECTION
    assert "worker.capabilities.runtimes" in caplog.text


def test_an_agent_offers_what_was_found_and_native_without_making_it_a_filter() -> None:
    offered = detector().from_detection(FOUND)
    assert offered.runtimes == ("shell", "node", "native")
    assert offered.tier is Tier.DETECTION and offered.allowed is None
    assert detector().from_detection([]).runtimes == ("native",)


def test_an_operators_choice_leaves_native_out_unless_it_names_it() -> None:
    assert detector("shell").from_detection(FOUND).runtimes == ("shell",)
    assert detector("shell,native").from_detection(FOUND).runtimes == ("shell", "native")


def test_a_named_runtime_without_interpreter_is_offered_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert detector("ruby,native,cobol").from_detection(FOUND).runtimes == ("ruby", "native", "cobol")
    assert "names ruby, but no interpreter" in caplog.text
    assert "names cobol, which is not a known runtime" in caplog.text
    assert "names native" not in caplog.text


def test_detection_looks_only_for_what_was_named() -> None:
    assert [family.name for family in detector("python3,NODEJS").families()] == ["python", "node"]
    assert [family.name for family in detector(runtimes=["bash"]).families()] == ["shell"]
    assert len(detector().families()) == 8
    assert detector("").families() == ()


def test_a_worker_offers_the_stored_runtimes_that_it_has_by_their_lower_case_names(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        offered = detector().from_database(lambda: ROWS, Machine.of(env={"PATH": "/usr/bin:/bin"}))
    assert offered.runtimes == ("native", "node.js")
    assert offered.tier is Tier.DATABASE and offered.allowed is None
    assert "Detecting worker capabilities..." in caplog.text
    assert "✓ Runtime available: Node.js (core.nodejs)" in caplog.text
    assert "Detected available runtimes: ['native', 'node.js']" in caplog.text


def test_native_is_offered_even_when_the_database_lacks_it() -> None:
    assert detector().from_database(lambda: ROWS[1:2], Machine.of(env={})).runtimes == ("node.js", "native")


def test_a_sensor_service_keeps_builtin() -> None:
    sensor = detector("python3,shell,builtin", role="sensor")
    assert sensor.from_detection([]).runtimes == ("python", "shell", "builtin")
    assert sensor.from_detection([]).source == "ATTUNE_SENSOR_RUNTIMES"
    assert detector("builtin").from_detection([]).runtimes == ("native",)
    stored = detector(role="sensor").from_database(lambda: ROWS, Machine.of(env={}))
    assert stored.runtimes == ("native", "node.js", "builtin")
