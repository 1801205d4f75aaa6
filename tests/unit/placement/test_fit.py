"""Which worker gets an execution, and why the others don't."""

from __future__ import annotations

from typing import Any

import pytest

from agent.placement.candidate import Candidate
from agent.placement.choice import Room, choose
from agent.placement.demand import Demand
from agent.placement.explanation import explain
from agent.placement.fit import misfit


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
        (Demand(("python",), ">=3.12"), worker(), "has python 3.11.2; >=3.12 is required"),
        (Demand(("python",), "  "), worker(), None),
        (Demand(("shell",), ">=5"), worker(), "advertises no version of shell; >=5 is required"),
        (Demand(("python",), ">=3.12"), worker(status="inactive"), "has python 3.11.2; >=3.12 is required"),
        (PYTHON, worker(status="inactive"), "is inactive"),
        (PYTHON, worker(status="busy"), "is busy"),
        (PYTHON, worker(cordoned=True, cordon_reason="disk"), "is cordoned (disk)"),
        (PYTHON, worker(heartbeat_age=None), "never sent a heartbeat"),
        (PYTHON, worker(heartbeat_age=90.0), None),
        (PYTHON, worker(heartbeat_age=91.0), "sent its last heartbeat 91 s ago"),
        (Demand(required_runtimes={"python3": "*"}), worker(), None),
        (Demand(required_runtimes={"python": " >=3.12 "}), worker(), "has python 3.11.2;  >=3.12  is required"),
        (
            Demand(required_runtimes={"go": "*"}),
            worker(),
            "offers shell, python; not go, which the action also requires",
        ),
        (
            Demand(required_runtimes={"python": 3}),
            worker(),
            "the action's required_worker_runtimes.python must be a string",
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


def busy(name: str, in_hand: int, slots: int = 2, **labels: str) -> Candidate:
    capabilities = {"runtimes": ["shell"], "max_concurrent_executions": slots, "labels": labels}
    return worker(name, id=sum(map(ord, name)), in_hand=in_hand, capabilities=capabilities)


def test_the_worker_with_most_free_slots_gets_the_execution() -> None:
    fleet = [busy("a", 2), busy("b", 1), busy("c", 0)]
    assert choose(Demand(), fleet).worker == fleet[2]


def test_a_preferred_worker_without_a_free_slot_is_passed_over() -> None:
    fleet = [busy("a", 2, zone="near"), busy("b", 1)]
    near = Demand(affinity={"preferred": [{"weight": 9, "preference": {"match_labels": {"zone": "near"}}}]})
    assert choose(near, fleet).worker == fleet[1]
    assert choose(near, [busy("a", 1, zone="near"), busy("b", 0)]).worker == busy("a", 1, zone="near")


def test_where_all_are_full_the_least_loaded_is_named_and_all_are_said_to_be_full() -> None:
    fleet = [busy("a", 5), busy("b", 3)]
    found = choose(Demand(), fleet)
    assert found.worker == fleet[1]
    assert found.full == tuple(fleet)


def test_a_batch_fills_free_slots_first_and_then_the_reserves() -> None:
    fleet = [busy("a", 2), busy("b", 0), busy("c", 1)]
    room = Room(fleet, lambda one: 1)
    names = [one.name for one in room.take(Demand(), fleet, 10)]
    assert sorted(names[:3]) == ["b", "b", "c"]
    assert sorted(names[3:]) == ["a", "b", "c"]
    assert room.left(fleet) == 0


def test_equals_take_turns_within_a_batch_and_from_one_to_the_next() -> None:
    fleet = [busy("a", 0), busy("b", 0), busy("c", 0)]
    one_by_one = [Room(fleet, lambda one: 0, turn=turn).take(Demand(), fleet, 1)[0].name for turn in range(6)]
    assert one_by_one == ["a", "b", "c", "a", "b", "c"]
    together = [one.name for one in Room(fleet, lambda one: 0).take(Demand(), fleet, 6)]
    assert together == ["a", "b", "c", "a", "b", "c"]


def test_a_free_slot_counts_more_than_a_preference_and_that_more_than_many_slots() -> None:
    near = Demand(affinity={"preferred": [{"weight": 5, "preference": {"match_labels": {"zone": "near"}}}]})
    fleet = [busy("near", 1, zone="near"), busy("far", 0)]
    assert [one.name for one in Room(fleet, lambda one: 1).take(near, fleet, 5)] == [
        "near",
        "far",
        "far",
        "near",
        "far",
    ]


def test_workers_that_share_nothing_do_not_share_their_room() -> None:
    fleet = [busy("a", 0), busy("b", 0)]
    room = Room(fleet, lambda one: 0)
    assert [one.name for one in room.take(Demand(), fleet[:1], 5)] == ["a", "a"]
    assert room.left(fleet) == 2


@pytest.mark.parametrize(
    ("fleet", "outlook", "sentence"),
    [
        ([], "nobody", "No action workers available"),
        (
            [worker(capabilities={"runtimes": ["shell"]})],
            "unfit",
            "No compatible workers found for action: p.a (requires",
        ),
        ([worker(cordoned=True)], "absent", "No active, uncordoned workers available"),
        ([worker(heartbeat_age=91.0)], "absent", "No workers with fresh heartbeats available"),
        ([worker(in_hand=10)], "full", "All workers that fit are full"),
        ([worker(in_hand=10), worker("v")], "ready", "v has a free slot"),
    ],
)
def test_an_explanation_tells_what_passes_from_what_does_not(
    fleet: list[Candidate], outlook: str, sentence: str
) -> None:
    found = explain(PYTHON, fleet, "p.a")
    assert found.outlook == outlook
    assert found.sentence.startswith(sentence)
    assert found.may_wait == (outlook in ("nobody", "unfit", "absent"))


def test_all_reasons_of_a_worker_are_named_and_equal_ones_are_counted() -> None:
    fleet = [worker(f"w{n}", capabilities={"runtimes": ["shell"]}, cordoned=True) for n in range(500)]
    (line,) = explain(PYTHON, fleet, "p.a").counted()
    assert line == "500 workers (w0, w1 ...): offers shell; not python; is cordoned"
