"""Which worker gets an execution, and why the others don't."""

from __future__ import annotations

from typing import Any

import pytest

from agent.control.placement import Candidate, Demand, choose, misfit


def worker(name: str = "w", **changes: Any) -> Candidate:
    """A healthy worker with Python 3.11 and a shell."""
    values: dict[str, Any] = {
        "id": 1,
        "name": name,
        "status": "active",
        "cordoned": False,
        "cordon_reason": None,
        "heartbeat_age": 1.0,
        "capabilities": {"runtimes": ["shell", "python"], "runtime_versions": {"python": ["3.11.2"]}},
    }
    return Candidate(**{**values, **changes})


def labelled(name: str = "w", **labels: str) -> Candidate:
    return worker(name, capabilities={"runtimes": ["python"], "labels": labels})


PYTHON = Demand(runtime_names=("python", "python3", "Python"))


@pytest.mark.parametrize(
    ("demand", "candidate", "reason"),
    [
        (PYTHON, worker(), None),
        (Demand(), worker(capabilities={}), None),
        (Demand(runtime_names=("node", "Node.js")), worker(), "offers shell, python; not node"),
        (PYTHON, worker(capabilities={"runtimes": ["Python3"]}), None),
        (PYTHON, worker(capabilities={"runtimes": "python"}), "offers no runtime; not python"),
        (Demand(("python",), ">=3.11"), worker(), None),
        (Demand(("python",), ">=3.12"), worker(), "has python 3.11.2; >=3.12 is wanted"),
        (Demand(("python",), "  "), worker(), None),
        (Demand(("shell",), ">=5"), worker(), "says no version of shell; >=5 is wanted"),
        (Demand(("python",), ">=3.12"), worker(status="inactive"), "has python 3.11.2; >=3.12 is wanted"),
        (PYTHON, worker(status="inactive"), "is inactive"),
        (PYTHON, worker(status="busy"), "is busy"),
        (PYTHON, worker(cordoned=True, cordon_reason="disk"), "is cordoned (disk)"),
        (PYTHON, worker(heartbeat_age=None), "never sent a heartbeat"),
        (PYTHON, worker(heartbeat_age=90.0), None),
        (PYTHON, worker(heartbeat_age=91.0), "sent its last heartbeat 91 s ago"),
        (Demand(required_runtimes={"python3": "*"}), worker(), None),
        (Demand(required_runtimes={"python": " >=3.12 "}), worker(), "has python 3.11.2;  >=3.12  is wanted"),
        (
            Demand(required_runtimes={"go": "*"}),
            worker(),
            "offers shell, python; not go, which the action also requires",
        ),
        (
            Demand(required_runtimes={"python": 3}),
            worker(),
            "the action's required_worker_runtimes.python is not a text",
        ),
    ],
)
def test_a_worker_fits_or_says_why_not(demand: Demand, candidate: Candidate, reason: str | None) -> None:
    assert misfit(demand, candidate) == reason


def test_versions_of_detected_interpreters_count_where_no_others_are_advertised() -> None:
    entries = [{"name": "python3", "version": "3.12.1"}, {"name": "node", "version": None}, "garbage"]
    candidate = worker(capabilities={"runtimes": ["python"], "detected_interpreters": entries})
    assert misfit(Demand(("python",), "3.12"), candidate) is None


def test_an_advertised_text_that_is_no_version_is_skipped() -> None:
    candidate = worker(capabilities={"runtimes": ["python"], "runtime_versions": {"python": ["latest", 3, "3.12"]}})
    assert misfit(Demand(("python",), "3.12"), candidate) is None


@pytest.mark.parametrize(
    ("demand", "labels", "fits"),
    [
        (Demand(selector={"zone": "a"}), {"zone": "a"}, True),
        (Demand(selector={"zone": "a"}), {"zone": "b"}, False),
        (Demand(selector={"zone": "a"}), {}, False),
        (Demand(selector={}), {}, True),
        (Demand(affinity={"required": [{"match_labels": {"a": "1"}}, {"match_labels": {"b": "2"}}]}), {"b": "2"}, True),
        (Demand(affinity={"required": [{"match_labels": {"a": "1"}}]}), {}, False),
        (Demand(affinity={"anti_affinity": [{"match_labels": {"a": "1"}}]}), {"a": "1"}, False),
        (Demand(affinity={"anti_affinity": [{"match_labels": {"a": "1"}}]}), {"a": "2"}, True),
    ],
)
def test_labels_decide_where_an_execution_may_run(demand: Demand, labels: dict[str, str], fits: bool) -> None:
    assert (misfit(demand, labelled(**labels)) is None) is fits


@pytest.mark.parametrize(
    ("operator", "values", "labels", "holds"),
    [
        ("in", ["a", "b"], {"z": "a"}, True),
        ("in", ["b"], {"z": "a"}, False),
        ("in", ["b"], {}, False),
        ("not_in", ["a"], {"z": "a"}, False),
        ("not_in", ["a"], {}, True),
        ("exists", None, {"z": "x"}, True),
        ("exists", None, {}, False),
        ("does_not_exist", None, {}, True),
        ("does_not_exist", None, {"z": "x"}, False),
        ("like", ["a"], {"z": "a"}, False),
    ],
)
def test_label_expressions(operator: str, values: Any, labels: dict[str, str], holds: bool) -> None:
    term = {"match_expressions": [{"key": "z", "operator": operator, "values": values}]}
    assert (misfit(Demand(affinity={"required": [term]}), labelled(**labels)) is None) is holds


@pytest.mark.parametrize(
    ("taint", "tolerations", "fits"),
    [
        ({"key": "gpu"}, [], False),
        ({"key": "gpu", "effect": "prefer_no_schedule"}, [], True),
        ({"key": "gpu"}, [{"key": "gpu"}], True),
        ({"key": "gpu", "value": "a"}, [{"key": "gpu"}], False),
        ({"key": "gpu", "value": "a"}, [{"key": "gpu", "value": "a"}], True),
        ({"key": "gpu", "value": "a"}, [{"key": "gpu", "operator": "exists"}], True),
        ({"key": "gpu"}, [{"key": "gpu", "operator": "exists", "effect": "prefer_no_schedule"}], False),
        ({"key": "gpu"}, [{"key": "cpu", "operator": "exists"}], False),
    ],
)
def test_every_hard_taint_must_be_tolerated(taint: Any, tolerations: Any, fits: bool) -> None:
    candidate = worker(capabilities={"taints": [taint]})
    assert (misfit(Demand(tolerations=tolerations), candidate) is None) is fits


def test_malformed_placement_data_never_raises() -> None:
    garbage = [1, "x", None, [], {}]
    for value in garbage:
        demand = Demand(selector=value, tolerations=value, affinity=value)
        misfit(demand, worker(capabilities={"labels": value, "taints": value, "runtime_versions": value}))


def test_the_greatest_preference_wins() -> None:
    demand = Demand(affinity={"preferred": [{"weight": 10, "preference": {"match_labels": {"ssd": "yes"}}}]})
    chosen = choose(demand, [labelled("a"), labelled("b", ssd="yes"), labelled("c")]).worker
    assert chosen is not None
    assert chosen.name == "b"


def test_equals_take_turns() -> None:
    names = [
        choose(PYTHON, [worker("a"), worker("b"), worker("c", status="error")], turn=turn).worker for turn in range(4)
    ]
    assert [found.name for found in names if found] == ["a", "b", "a", "b"]


def test_every_worker_that_does_not_fit_is_named_with_its_reason() -> None:
    placement = choose(PYTHON, [worker("a", status="inactive"), worker("b", cordoned=True), worker("c")])
    assert placement.refusals == (("a", "is inactive"), ("b", "is cordoned"))
    assert choose(PYTHON, []) == type(placement)(None, ())
