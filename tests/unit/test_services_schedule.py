"""Which tests the suite runs together: one engine, one deployment a file, and one at a time where time is measured."""

import os
import tempfile
import threading
from pathlib import Path

import pytest

from tests.services.schedule import Turns, group, rank


def test_tests_of_a_file_stay_together_and_all_of_docker_are_one_group() -> None:
    assert group("tests/integration/test_x.py::test_one[a::b]") == "tests/integration/test_x.py"
    assert group("tests/acceptance/test_container_x.py::test_one") == "docker"
    assert group("tests/unit/mq/test_x.py::test_one") == "tests/unit/mq"


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


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="there is one process")
@pytest.mark.parametrize("number", range(4))
def test_one_process_runs_a_group(number: int, testrun_uid: str, worker_id: str) -> None:
    """Each of these notes who runs it; they are of one file."""
    note = Path(tempfile.gettempdir()) / f"attune-group-{testrun_uid}"
    if number == 0:
        note.write_text(worker_id)
    assert note.read_text() == worker_id
    if number == 3:
        note.unlink()
