"""Which tests may run at the same time when pytest-xdist runs them in several processes (``make test``).

Tests of one file stay together, because they share a deployment. All that use the Docker engine are one group, so that
one engine runs. A test that is marked ``alone`` runs while no other does. In a single process all this changes nothing.
"""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

#: Files whose tests share what there is only one of; every other file is a group, and every folder of unit tests.
GROUPS = {"tests/acceptance/test_container_": "docker", "tests/kubernetes/": "kubernetes"}
#: Groups that take long begin first; what is not named comes in the order of collection, unit tests at the end.
FIRST = ("docker", "kubernetes", "tests/integration/worker/test_faults_database.py", "tests/integration/worker")
LAST = ("tests/unit",)

_turns = pytest.StashKey["Turns"]()
_places = pytest.StashKey[tempfile.TemporaryDirectory[str]]()


class Turns:
    """A lock that many tests of several processes hold together, or one holds alone."""

    def __init__(self, directory: Path) -> None:
        """All processes of a run use the same ``directory``."""
        self._gate = directory / "gate"
        self._room = directory / "room"

    @contextmanager
    def together(self) -> Iterator[None]:
        """Hold it with others; whoever waits to be alone comes first."""
        with _locked(self._gate, fcntl.LOCK_SH):
            room = _locked(self._room, fcntl.LOCK_SH)
            room.__enter__()
        try:
            yield
        finally:
            room.__exit__(None, None, None)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold it when nobody else does."""
        with _locked(self._gate, fcntl.LOCK_EX), _locked(self._room, fcntl.LOCK_EX):
            yield


@contextmanager
def _locked(path: Path, kind: int) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, kind)
        try:
            yield
        finally:
            # Closing is not enough: the lock lasts as long as any duplicate of the descriptor.
            fcntl.flock(file, fcntl.LOCK_UN)


def group(test: str) -> str:
    """Return the name of the group of tests that one process runs one after another."""
    path = test.partition("::")[0]
    for start, name in GROUPS.items():
        if path.startswith(start):
            return name
    return path.rpartition("/")[0] if path.startswith("tests/unit/") else path


def rank(name: str) -> tuple[bool, int]:
    """Return what the groups are sorted by."""
    places = [place for place, start in enumerate(FIRST) if name.startswith(start)]
    return name.startswith(LAST), min(places, default=len(FIRST))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring the groups into an order in which no process is left alone with a long one."""
    strays = {item.path.name for item in items if item.get_closest_marker("docker") and group(item.nodeid) != "docker"}
    if strays:
        raise pytest.UsageError(f"tests of the Docker engine lie in test_container_*.py, not in {', '.join(strays)}")
    items.sort(key=lambda item: rank(group(item.nodeid)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Hand out whole groups, in the order of collection."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    return Groups(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a process of pytest-xdist where the locks of this run are."""
    if _places not in node.config.stash:
        node.config.stash[_places] = tempfile.TemporaryDirectory(prefix="attune-turns-")
    node.workerinput["turns"] = node.config.stash[_places].name


def pytest_configure(config: pytest.Config) -> None:
    """Find the locks, where this is one of several processes."""
    directory = getattr(config, "workerinput", {}).get("turns")
    if directory is not None:
        config.stash[_turns] = Turns(Path(directory))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the locks of a run that has ended."""
    if _places in config.stash:
        config.stash[_places].cleanup()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Wait for the test's turn."""
    turns = item.config.stash.get(_turns, None)
    if turns is None:
        return (yield)
    with turns.alone() if item.get_closest_marker("alone") else turns.together():
        return (yield)
