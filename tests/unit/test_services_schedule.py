"""Which tests the suite runs together: one engine, one deployment a file, and one at a time where time is measured."""

import threading
from pathlib import Path

from tests.services.schedule import Turns, group, rank


def test_tests_of_a_file_stay_together_and_all_of_docker_are_one_group() -> None:
    assert group("tests/integration/test_x.py::test_one[a::b]", docker=False) == "tests/integration/test_x.py"
    assert group("tests/integration/test_x.py::test_one", docker=True) == "docker"
    assert group("tests/unit/mq/test_x.py::test_one", docker=False) == "tests/unit/mq"


def test_what_takes_long_begins_first_and_unit_tests_come_last() -> None:
    names = ["tests/unit/mq", "tests/acceptance/test_x.py", "docker"]
    assert sorted(names, key=rank) == ["docker", "tests/acceptance/test_x.py", "tests/unit/mq"]


def test_many_run_together(tmp_path: Path) -> None:
    with Turns(tmp_path).together(), Turns(tmp_path).together():
        pass


def test_one_that_is_alone_waits_for_the_others(tmp_path: Path) -> None:
    order: list[str] = []
    inside = threading.Event()

    def alone() -> None:
        with Turns(tmp_path).alone():
            order.append("alone")
            inside.set()

    thread = threading.Thread(target=alone)
    with Turns(tmp_path).together():
        thread.start()
        assert not inside.wait(0.02)
        order.append("together")
    thread.join(10)
    assert order == ["together", "alone"]
