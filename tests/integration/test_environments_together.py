"""Many who want one environment at once, builders that die or hang, and builds that nobody wants any more."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent.environments.inventory import inventory
from agent.environments.marker import LAST_USED
from agent.errors import EnvironmentFailed
from agent.process.cancellation import CancellationToken
from agent.process.request import Ending
from tests.integration.environment_site import PYTHON, Site, counting_interpreter, quick_config, run_in
from tests.services.waiting import not_for_ever, until

MODULE = ("-m", "tests.children.ensure_environment")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    (site.pack("env_plain") / "manifest.txt").write_text("something\n")
    return site


def start(site: Site, config: object, interpreter: str = PYTHON) -> subprocess.Popen[str]:
    """Start another process that prepares the environment when it is told to go."""
    process = subprocess.Popen(
        [PYTHON, *MODULE, site.envs, site.packs, "env_plain", json.dumps(config), interpreter],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    """Let a started process begin."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def gone(pid: int) -> bool:
    """Whether the process is no more; a zombie that its parent hasn't collected is no more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_eight_threads_and_two_processes_build_exactly_once(site: Site, tmp_path: Path) -> None:
    log, installs = tmp_path / "log", tmp_path / "installs"
    interpreter = counting_interpreter(tmp_path / "bin/python3", log)
    config = quick_config("sh", "-c", f'sleep 0.3; echo one >> "{installs}"')
    request = site.request("env_plain", config, interpreter=interpreter, interpreter_version="3")
    others = [start(site, config, interpreter) for _ in range(2)]
    barrier = threading.Barrier(8, action=lambda: [go(process) for process in others])

    def ensure(_: int) -> str:
        barrier.wait()
        return str(site.manager.ensure(request).env_dir)

    with ThreadPoolExecutor(8) as pool:
        mine = set(pool.map(ensure, range(8)))
    theirs = {process.communicate(timeout=60)[0].strip() for process in others}
    assert mine == theirs
    assert len(mine) == 1
    assert len(log.read_text().splitlines()) == 1
    assert installs.read_text() == "one\n"


def test_those_who_wait_for_a_build_that_fails_fail_with_it(site: Site, tmp_path: Path) -> None:
    installs, go_on, asked = tmp_path / "installs", tmp_path / "go_on", set[int]()
    wait = f'until [ -e "{go_on}" ]; do sleep 0.01; done'
    config = quick_config("sh", "-c", f'echo try >> "{installs}"; {wait}; echo no luck >&2; exit 1')

    def note_who_waits() -> bool:
        asked.add(threading.get_ident())
        if len(asked) == 4:
            go_on.touch()
        return False

    request = site.request("env_plain", config, cancelled=note_who_waits)
    barrier = threading.Barrier(4)

    def ensure(_: int) -> str:
        barrier.wait()
        try:
            return str(site.manager.ensure(request))
        except EnvironmentFailed as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(ensure, range(4)))
    assert all("no luck" in text for text in said)
    assert installs.read_text() == "try\n"
    with pytest.raises(EnvironmentFailed):
        site.manager.ensure(request)
    assert installs.read_text() == "try\ntry\n"


def test_what_a_killed_builder_left_is_never_used(site: Site, tmp_path: Path) -> None:
    pid_file, slow = tmp_path / "pid", tmp_path / "slow"
    slow.touch()
    config = quick_config(
        "sh", "-c", f'if [ -e "{slow}" ]; then rm "{slow}"; echo $$ > "{pid_file}"; exec sleep 600; fi'
    )
    builder = start(site, config)
    go(builder)
    until(lambda: pid_file.exists() and pid_file.read_text().strip())
    [half] = (site.envs / "env_plain").glob(".python.*-*")
    builder.kill()
    builder.communicate()
    try:
        prepared = site.manager.ensure(site.request("env_plain", config))
    finally:
        os.killpg(int(pid_file.read_text()), signal.SIGKILL)
    assert prepared.env_dir != half
    assert not half.exists()
    assert run_in(prepared, "print(1)") == "1"


def test_a_hanging_installer_is_killed_with_its_group(site: Site, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    config = quick_config("sh", "-c", f'sleep 600 & echo $$ $! > "{pids}"; echo still busy >&2; wait')
    manager = site.new_manager(install_timeout=1.5)
    with pytest.raises(EnvironmentFailed, match=r"did not end within 1\.5 s") as caught:
        manager.ensure(site.request("env_plain", config))
    assert caught.value.step == "install dependencies"
    assert not caught.value.cancelled
    assert "still busy" in str(caught.value)
    for pid in pids.read_text().split():
        until(lambda pid=pid: gone(int(pid)))  # type: ignore[misc]


@pytest.mark.parametrize("way", ["flag", "stop"])
def test_a_cancelled_execution_ends_its_build_and_the_next_one_builds(site: Site, tmp_path: Path, way: str) -> None:
    pids, quick = tmp_path / "pids", tmp_path / "quick"
    config = quick_config("sh", "-c", f'test -e "{quick}" || {{ echo $$ > "{pids}"; exec sleep 600; }}')
    flag, stop = threading.Event(), CancellationToken()
    request = site.request("env_plain", config, **({"cancelled": flag.is_set} if way == "flag" else {"stop": stop}))

    def cancel() -> None:
        until(lambda: pids.exists() and pids.read_text().strip())
        flag.set()
        stop.cancel(Ending.CANCELLED)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(cancel)
        with not_for_ever(), pytest.raises(EnvironmentFailed, match="was cancelled") as caught:
            site.manager.ensure(request)
    assert caught.value.cancelled
    until(lambda: gone(int(pids.read_text())))
    stop.close()
    quick.touch()
    assert site.manager.ensure(site.request("env_plain", config)).env_dir is not None


def test_waiting_for_another_process_ends_with_cancellation(site: Site, tmp_path: Path) -> None:
    started, go_on = tmp_path / "started", tmp_path / "go_on"
    config = quick_config("sh", "-c", f'touch "{started}"; until [ -e "{go_on}" ]; do sleep 0.02; done')
    builder = start(site, config)
    go(builder)
    until(started.exists)
    answers = iter([False] * 5)  # to "cancelled?", which is asked again and again while it waits
    request = site.request("env_plain", config, interpreter_version="3", cancelled=lambda: next(answers, True))
    with pytest.raises(EnvironmentFailed, match="cancelled while waiting"):
        site.manager.ensure(request)
    go_on.touch()
    assert builder.communicate(timeout=60)[0].startswith(str(site.envs))


def test_a_pack_that_is_deleted_while_it_is_built_leaves_nothing_in_use(site: Site, tmp_path: Path) -> None:
    started, go_on = tmp_path / "started", tmp_path / "go_on"
    config = quick_config("sh", "-c", f'touch "{started}"; until [ -e "{go_on}" ]; do sleep 0.02; done')
    request = site.request("env_plain", config)
    with ThreadPoolExecutor(1) as pool:
        building = pool.submit(site.manager.ensure, request)
        until(started.exists)
        site.manager.remove("env_plain")
        go_on.touch()
        with pytest.raises(EnvironmentFailed):
            building.result(timeout=30)
    assert site.manager.ensure(request).env_dir is not None


def test_a_size_budget_makes_room_by_what_nobody_has_used_for_longest(site: Site) -> None:
    for name, days in (("oldest", 3), ("older", 2), ("newer", 1)):
        shutil.copytree(site.packs / "env_plain", site.packs / name)
        request = site.request(name, quick_config("true"))
        built = site.manager.ensure(request).env_dir
        assert built is not None
        used = time.time() - days * 86400
        os.utime(built / LAST_USED, (used, used))
    one = sum(item.size for item in inventory(site.envs)) // 3
    new = site.new_manager(max_bytes=3 * one + one // 2).ensure(site.request("env_plain", quick_config("true")))
    assert {item.pack for item in inventory(site.envs)} == {"older", "newer", "env_plain"}
    again = site.new_manager(max_bytes=1).ensure(site.request("oldest", quick_config("true")))
    assert again.env_dir is not None and again.env_dir.exists(), "built again when it is needed"
    assert {item.pack for item in inventory(site.envs)} == {"oldest", "env_plain"}, "what is in use stays"
    assert new.env_dir is not None and new.env_dir.exists()
