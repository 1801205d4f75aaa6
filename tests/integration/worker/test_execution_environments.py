"""What goes wrong while an environment is built fails its execution and names the step; the agent goes on.

The installer of these packs is a script that the pack brings, so that each of them can go wrong in its own way.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.command import run
from tests.services.availability import unavailable
from tests.services.deployment import Deployment, Execution, running_deployment
from tests.services.waiting import until

pytestmark = pytest.mark.postgres

RUNTIME = {
    "interpreter": {"binary": "/bin/sh", "file_extension": ".sh"},
    "environment": {
        "env_type": "tree",
        "create_command": ["mkdir", "-p", "{env_dir}"],
        "build_env": {"TREE": "{env_dir}"},
    },
    "dependencies": {"manifest_file": "install", "install_command": ["sh", "-e", "{manifest_path}"]},
    "env_vars": {"TREE": "{env_dir}"},
}
#: Room for everything but a large file.
VOLUME = "size=4m,mode=0755"


@pytest.fixture(scope="module")
def deployment(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """One agent whose environments lie on a small volume."""
    if os.geteuid() != 0:
        unavailable("a volume of the test's own", "run as root")
    with running_deployment(request, "database") as laid_out:
        envs = laid_out.directory / "envs"
        envs.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", VOLUME, "tmpfs", envs], check=True)
        try:
            laid_out.add_runtime("test.tree", RUNTIME, distributions={"verification": {"always_available": True}})
            laid_out.start_agent(ATTUNE__WORKER__MAX_CONCURRENT_TASKS="16")
            yield laid_out
        finally:
            laid_out.close()
            subprocess.run(["umount", "--lazy", envs], check=True)


def add(deployment: Deployment, pack: str, install: str) -> str:
    """Add a pack with one action, which shows what was installed; return the action's ref."""
    deployment.add_action(f"{pack}.show", 'cat "$TREE/made"\n', runtime="test.tree")
    deployment.write(pack, "install", install)
    return f"{pack}.show"


def failed(deployment: Deployment, action: str, step: str, *sayings: str, **columns: int) -> Execution:
    """Run an action whose environment can't be built; return how it ended."""
    done = deployment.run(action, **columns)
    assert (done.status, done.result["cause"]) == ("failed", "environment_failed"), done.result
    for saying in (f"{action.partition('.')[0]}/tree: {step}", *sayings):
        assert saying in done.result["error"]
    return done


def builds(deployment: Deployment, pack: str) -> list[Path]:
    """Return all builds of a pack, complete or not."""
    return list((deployment.directory / "envs" / pack).glob(".tree.*-*"))


def completes(deployment: Deployment, action: str) -> None:
    """Run an action to its end."""
    done = deployment.run(action)
    assert (done.status, done.result.get("stdout")) == ("completed", "well\n"), done.result


def test_a_full_disk_fails_the_execution_and_is_free_again(deployment: Deployment) -> None:
    action = add(deployment, "full", 'head -c 16m /dev/zero > "$TREE/large"\n')
    failed(deployment, action, "install dependencies failed", "No space left on device")
    assert builds(deployment, "full") == []
    deployment.write("full", "install", 'echo well > "$TREE/made"\n')
    completes(deployment, action)


def test_a_disk_that_is_full_before_anything_is_built_is_named(deployment: Deployment) -> None:
    action = add(deployment, "tight", 'echo well > "$TREE/made"\n')
    ballast = deployment.directory / "envs/ballast"
    subprocess.run(["dd", "if=/dev/zero", f"of={ballast}", "bs=4096"], capture_output=True, check=False)
    try:
        failed(deployment, action, "", "No space left on device")
    finally:
        ballast.unlink()
    completes(deployment, action)


def test_an_installer_that_hangs_is_ended_at_its_time_limit(deployment: Deployment) -> None:
    action = add(deployment, "hang", "echo asking for a password >&2; sleep 600\n")
    with deployment.another_agent("impatient", ATTUNE__WORKER__INSTALL_TIMEOUT="1") as agent:
        said = ("did not end within 1 s", "asking for a password")
        failed(deployment, action, "install dependencies failed", *said, worker=agent.worker_id)
    deployment.write("hang", "install", 'echo well > "$TREE/made"\n')
    completes(deployment, action)


def test_a_dependency_that_can_not_be_had_is_named_in_the_result(deployment: Deployment) -> None:
    action = add(deployment, "lost", "echo no package nosuch >&2; exit 7\n")
    failed(deployment, action, "install dependencies failed", "exited with 7", "no package nosuch")


def test_a_read_only_volume_serves_what_is_built_and_says_what_to_do_about_the_rest(deployment: Deployment) -> None:
    envs = deployment.directory / "envs"
    built = add(deployment, "early", 'echo well > "$TREE/made"\n')
    completes(deployment, built)
    late = add(deployment, "late", 'echo well > "$TREE/made"\n')
    until(lambda: subprocess.run(["mount", "-o", "remount,ro", envs], capture_output=True, check=False).returncode == 0)
    try:
        completes(deployment, built)
        with deployment.another_agent("newcomer") as newcomer:
            done = deployment.run(built, worker=newcomer.worker_id)
            assert (done.status, done.result.get("stdout")) == ("completed", "well\n"), done.result
        failed(deployment, late, "", str(envs), "ATTUNE__RUNTIME_ENVS_DIR")
    finally:
        subprocess.run(["mount", "-o", f"remount,rw,{VOLUME}", envs], check=True)
    completes(deployment, late)


def test_a_build_is_told_in_the_live_log_while_it_lasts_and_in_the_agents_log(deployment: Deployment) -> None:
    go_on = deployment.directory / "go_on"
    wait = f"until [ -e {go_on} ]; do sleep 0.02; done"
    action = add(deployment, "told", f'{wait}; echo well > "$TREE/made"\n')
    execution = deployment.start(action)
    live = deployment.artifacts / f"execution_{execution}/stderr.log"
    until(lambda: live.exists() and "attune: building told/tree in " in live.read_text())
    go_on.touch()
    assert deployment.wait(execution).status == "completed"
    told = [record["message"] for record in deployment.agent.records() if "told/tree" in record["message"]]
    assert [line.split(" in ")[0] for line in told[:2]] == ["building told/tree", "built told/tree"]


def test_whoever_waits_for_an_execution_sees_that_something_is_built(deployment: Deployment) -> None:
    action = add(deployment, "seen", 'echo well > "$TREE/made"\n')
    done = run("attune", "run", action, settings=deployment.environment)
    assert (done.returncode, done.stdout) == (0, "well\n"), done.stderr
    lines = done.stderr.splitlines()
    assert [line.split(" in ")[0] for line in lines] == ["attune: building seen/tree", "attune: built seen/tree"]


def test_a_changed_manifest_is_installed_while_an_execution_finishes_on_what_it_began_with(
    deployment: Deployment,
) -> None:
    begun, go_on = deployment.directory / "begun", deployment.directory / "finish"
    action = add(deployment, "moving", 'echo old > "$TREE/made"\n')
    wait = f"touch {begun}; until [ -e {go_on} ]; do sleep 0.02; done\n"
    deployment.write("moving", "actions/show.sh", f'[ -e {begun} ] || {{ {wait} }}\ncat "$TREE/made"\n')
    first = deployment.start(action)
    until(begun.exists)
    deployment.write("moving", "install", 'echo new > "$TREE/made"\n')
    assert deployment.run(action).result["stdout"] == "new\n"
    go_on.touch()
    assert deployment.wait(first).result["stdout"] == "old\n"


def test_two_agents_on_one_volume_build_once_for_32_executions(deployment: Deployment) -> None:
    log = deployment.directory / "builds"
    action = add(deployment, "shared", f'echo built >> {log}; sleep 0.3; echo well > "$TREE/made"\n')
    first = deployment.agent.worker_id
    with deployment.another_agent("second", ATTUNE__WORKER__MAX_CONCURRENT_TASKS="16") as second:
        started = [deployment.start(action, worker=(first, second.worker_id)[turn % 2]) for turn in range(32)]
        ended = [deployment.wait(execution) for execution in started]
    assert {done.status for done in ended} == {"completed"}
    assert {done.worker for done in ended} == {first, second.worker_id}
    assert log.read_text() == "built\n"


def test_what_a_killed_agent_left_half_built_is_built_again(deployment: Deployment) -> None:
    log, installer = deployment.directory / "tries", deployment.directory / "installer"
    wait = f"{{ echo $$ > {installer}; sleep 600; }}"
    script = f'echo try >> {log}; [ $(wc -l < {log}) -gt 1 ] || {wait}; echo well > "$TREE/made"\n'
    action = add(deployment, "killed", script)
    with deployment.another_agent("victim", ATTUNE__WORKER__INSTALL_TIMEOUT="600") as victim:
        deployment.start(action, worker=victim.worker_id)
        until(lambda: installer.exists() and installer.read_text().strip())
        [half] = builds(deployment, "killed")
        victim.kill()
    os.killpg(int(installer.read_text()), signal.SIGKILL)  # it outlives its agent
    completes(deployment, action)
    assert log.read_text() == "try\ntry\n"
    assert half not in builds(deployment, "killed")
