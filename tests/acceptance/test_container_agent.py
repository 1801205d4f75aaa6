"""The agent as PID 1 of a container: zombies, signals, what a job sees, neighbours on one network, shared volumes."""

from __future__ import annotations

import concurrent.futures
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.models.containers import Container

from tests.acceptance.container import Site, Worker, container, install_volume, stop, wait_until_ready
from tests.services.docker import BaseImage, Engine
from tests.services.postgres import fresh_database
from tests.services.waiting import until

pytestmark = [pytest.mark.docker, pytest.mark.postgres]

PROGRAM = "/opt/attune/bin/attune-agent"


@pytest.fixture(scope="module")
def site(docker_engine: Engine, postgres_url: str, migrated_template: str) -> Iterator[Site]:
    with fresh_database(postgres_url, "containers", template=migrated_template) as url:
        made = Site(docker_engine, url)
        made.register("core", "examples")
        yield made


@pytest.fixture
def volume(docker_engine: Engine) -> Iterator[str]:
    made = docker_engine.client.volumes.create(f"attune-test-{uuid.uuid4().hex[:8]}")
    yield made.name
    made.remove(force=True)


@pytest.fixture(scope="module")
def installed(docker_engine: Engine, base_image: BaseImage, agent_file: Path) -> Iterator[str]:
    made = docker_engine.client.volumes.create(f"attune-test-{uuid.uuid4().hex[:8]}")
    install_volume(docker_engine, base_image("empty"), agent_file, made.name)
    yield made.name
    made.remove(force=True)


@pytest.fixture
def worker(base_image: BaseImage, installed: str) -> Worker:
    return Worker(base_image("busybox"), options={"volumes": [f"{installed}:/opt/attune/bin:ro"], "read_only": True})


def processes(made: Container) -> list[list[str]]:
    """Return the state and command of every process in the container."""
    return [line.split(None, 1) for line in made.exec_run(["ps", "-o", "stat,args"]).output.decode().splitlines()[1:]]


def test_the_agent_is_one_process_and_reaps_orphans(site: Site, worker: Worker) -> None:
    with container(site, worker) as made:
        wait_until_ready(site, worker, made)
        # An orphan that nobody here started: `docker exec` leaves it to PID 1.
        made.exec_run(["sh", "-c", "(sleep 0.3 &) ; (setsid sleep 0.4 &)"])
        until(lambda: not [words for words in processes(made) if "sleep" in words[-1] or words[0].startswith("Z")])
        assert stop(made) == 0


def test_an_idle_agent_is_small(site: Site, worker: Worker) -> None:
    with container(site, worker) as made:
        wait_until_ready(site, worker, made)
        status = made.exec_run(["cat", "/proc/1/status"]).output.decode()
        resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
        print(f"resident: {resident / 1024:.1f} MB")
        assert resident <= 60 * 1024


def test_a_job_that_forks_twice_leaves_nothing_behind(site: Site, worker: Worker) -> None:
    with container(site, worker) as made:
        wait_until_ready(site, worker, made)
        command = "(setsid sh -c '(setsid sleep 300 >/dev/null 2>&1 &)' &); echo started"
        execution = site.action("core.run_command", "--param", f"command={command}")
        assert execution["status"] == "completed", (execution, made.logs().decode())
        assert not [words for words in processes(made) if "sleep 300" in words[-1] and "ps" not in words[-1]]


def test_a_job_sees_nothing_of_the_agent(site: Site, worker: Worker) -> None:
    with container(site, worker) as made:
        wait_until_ready(site, worker, made)
        script = "env; ls -l /proc/self/fd; cat /proc/1/environ 2>&1 || true"
        execution = site.action("core.run_command", "--param", f"command={script}")
        assert execution["status"] == "completed", (execution, made.logs().decode())
        text = str(execution["result"])
        assert "PATH=" in text
        for trace in (
            "_PYI_",
            "LD_LIBRARY_PATH",
            "ATTUNE_LAUNCHER",
            ".attune-agent-",
            "ATTUNE__",
            "LC_ALL",
            "SSL_CERT",
        ):
            assert trace not in text, trace


def test_neighbours_on_one_network_do_not_answer_for_each_other(
    site: Site, worker: Worker, base_image: BaseImage, installed: str
) -> None:
    with container(site, worker) as made:
        wait_until_ready(site, worker, made)
        answer = site.engine.client.containers.create(
            base_image("busybox"),
            [PROGRAM, "health"],
            network_mode="host",
            volumes=[f"{installed}:/opt/attune/bin:ro"],
        )
        answer.start()
        code = answer.wait(timeout=30)["StatusCode"]
        text = answer.logs().decode()
        answer.remove(force=True)
        assert (code, text) == (1, "attune-agent: no agent runs in this container\n")


def test_a_draining_agent_is_live_but_not_ready(site: Site, worker: Worker) -> None:
    with container(site, worker) as made:
        wait_until_ready(site, worker, made)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            job = pool.submit(site.action, "core.sleep", "--param", "seconds=8")
            until(lambda: any("sleep" in words[-1] for words in processes(made)))
            made.kill("SIGTERM")
            until(lambda: made.exec_run([PROGRAM, "health"]).exit_code == 1)
            assert made.exec_run([PROGRAM, "health", "--live"]).exit_code == 0
            assert job.result()["status"] == "completed"
        assert made.wait(timeout=30)["StatusCode"] == 0


def test_two_containers_that_unpack_at_once_share_the_work(
    docker_engine: Engine, base_image: BaseImage, agent_file: Path, volume: str
) -> None:
    def start() -> str:
        return bytes(
            docker_engine.client.containers.run(
                base_image("empty"),
                ["/single/attune-agent", "--help"],
                environment={"ATTUNE_LAUNCHER_DIR": "/shared"},
                volumes=[f"{agent_file}:/single/attune-agent:ro", f"{volume}:/shared"],
                network_mode="none",
                remove=True,
            )
        ).decode()

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        outputs = [future.result() for future in [pool.submit(start) for _ in range(4)]]
    assert all(output.startswith("usage: attune-agent") for output in outputs)
    listing = docker_engine.client.containers.run(
        base_image("busybox"), ["ls", "-A", "/shared"], volumes=[f"{volume}:/shared"], remove=True, network_mode="none"
    )
    assert len(bytes(listing).decode().split()) == 1


def test_an_upgrade_keeps_the_files_of_a_worker_in_another_container(
    site: Site, base_image: BaseImage, agent_file: Path, other_agent_file: Path, volume: str
) -> None:
    image = base_image("busybox")
    install_volume(site.engine, image, agent_file, volume)
    worker = Worker(image, options={"volumes": [f"{volume}:/opt/attune/bin:ro"], "user": "65532:65532"})
    with container(site, worker) as made:
        wait_until_ready(site, worker, made)
        assert "9.9.9" in install_volume(site.engine, image, other_agent_file, volume)
        execution = site.action("core.echo", "--param", "message=after the upgrade")
        assert execution["status"] == "completed", (execution, made.logs().decode())
        assert made.exec_run([PROGRAM, "health"]).exit_code == 0  # asked by the new version
        assert made.exec_run([PROGRAM, "--version"]).output == b"attune-agent 9.9.9\n"
        assert stop(made) == 0
    install_volume(site.engine, image, other_agent_file, volume)
    listing = site.engine.client.containers.run(
        image, ["ls", "-A", "/v"], volumes=[f"{volume}:/v"], remove=True, network_mode="none"
    )
    assert len(bytes(listing).decode().split()) == 2


def test_the_doctor_examines_a_container(site: Site, worker: Worker) -> None:
    with container(site, worker) as made:
        wait_until_ready(site, worker, made)
        done = made.exec_run([PROGRAM, "doctor"])
        assert done.exit_code == 0, done.output.decode()
        assert b"ok       database permissions" in done.output


def test_a_job_of_each_interpreter_runs_in_its_own_image(site: Site, base_image: BaseImage, installed: str) -> None:
    for name, runtime in (("ruby", "ruby"), ("node", "node"), ("debian", "python")):
        worker = Worker(base_image(name), options={"volumes": [f"{installed}:/opt/attune/bin:ro"]})
        with container(site, worker) as made:
            wait_until_ready(site, worker, made)
            made.exec_run(["mkdir", "-p", "/opt/attune/runtime_envs"])
            execution = site.action(f"examples.hello_{runtime}")
            assert execution["status"] == "completed", (execution, made.logs().decode())
            assert stop(made) == 0
