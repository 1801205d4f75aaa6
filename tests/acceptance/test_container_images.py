"""The images of docker/Dockerfile.agent, and the Compose deployment, on stand-ins for the public base images."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from agent import __version__
from tests.acceptance.command import ROOT
from tests.services.availability import unavailable
from tests.services.docker import BaseImage, Engine

pytestmark = pytest.mark.docker

PASSWORD = "correct horse battery"
COMPOSE = ROOT / "deploy" / "compose" / "docker-compose.yaml"
SENSORS = "sensor-python"
WORKERS = {"worker-python": "python", "worker-node": "node", "worker-ruby": "ruby", "worker-debian": "shell"}


@pytest.fixture
def volume(docker_engine: Engine) -> Iterator[str]:
    made = docker_engine.client.volumes.create(f"attune-test-{uuid.uuid4().hex[:8]}")
    yield made.name
    made.remove(force=True)


def output(engine: Engine, image: str, command: list[str] | None = None, **options: object) -> str:
    return bytes(
        engine.client.containers.run(image, command, network_mode="none", remove=True, **options)  # type: ignore[arg-type]
    ).decode()


def test_the_init_image_installs_into_a_new_volume_as_an_ordinary_user(
    docker_engine: Engine, built_image: Callable[[str], str], base_image: BaseImage, volume: str
) -> None:
    image = built_image("agent-init")
    mounts = [f"{volume}:/opt/attune/bin"]
    assert "installed in /opt/attune/bin" in output(docker_engine, image, volumes=mounts)
    assert "is current" in output(docker_engine, image, volumes=mounts)
    listing = output(docker_engine, base_image("busybox"), ["stat", "-c", "%u:%g %a", "/v"], volumes=[f"{volume}:/v"])
    assert listing == "65532:0 775\n"
    ran = output(
        docker_engine, base_image("empty"), ["/v/attune-agent", "--help"], volumes=[f"{volume}:/v:ro"], read_only=True
    )
    assert ran.startswith("usage: attune-agent")


def test_the_one_file_can_be_copied_out_of_the_init_image(
    docker_engine: Engine, built_image: Callable[[str], str], volume: str
) -> None:
    command = ["sh", "-c", "cp /attune-agent /opt/attune/bin/ && /opt/attune/bin/attune-agent --help"]
    copied = output(docker_engine, built_image("agent-init"), command, volumes=[f"{volume}:/opt/attune/bin"])
    assert copied.startswith("usage: attune-agent")


def test_the_binary_image_holds_one_file(docker_engine: Engine, built_image: Callable[[str], str]) -> None:
    image = built_image("agent-binary")
    assert output(docker_engine, image, ["--version"]) == f"attune-agent {__version__}\n"
    assert len(docker_engine.client.images.get(image).attrs["RootFS"]["Layers"]) == 1


def test_the_operator_image_is_the_operators_command(docker_engine: Engine, built_image: Callable[[str], str]) -> None:
    assert output(docker_engine, built_image("operator"), ["--version"]) == f"attune {__version__}\n"


@dataclass(frozen=True)
class Project:
    """The Compose project, up."""

    command: list[str]
    environment: dict[str, str]

    def run(self, *words: str, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self.command, *words],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done


@pytest.fixture(scope="module")
def project(docker_engine: Engine, built_image: Callable[[str], str], base_image: BaseImage) -> Iterator[Project]:
    if shutil.which("docker-compose") is None:
        unavailable("docker-compose", "apt-get install docker-compose")
    name = f"attune{uuid.uuid4().hex[:8]}"
    environment = {
        **os.environ,
        "DOCKER_HOST": docker_engine.url,
        "AGENT_IMAGE": built_image("agent-init"),
        "OPERATOR_IMAGE": built_image("operator"),
        "SERVER_IMAGE": built_image("server"),
        "SERVER_PORTS": "127.0.0.1:",  # any
        "PYTHON_IMAGE": base_image("debian"),
        "DEBIAN_IMAGE": base_image("debian-oldest"),
        **{f"{image.upper()}_IMAGE": base_image(image) for image in ("node", "ruby", "postgres", "rabbitmq")},
    }
    made = Project(["docker-compose", "-p", name, "-f", str(COMPOSE)], environment)
    try:
        made.run("up", "-d", "--scale", "server=2")
        yield made
    finally:
        made.run("down", "-v", "-t", "5", check=False)


def test_each_worker_is_twelve_lines_or_fewer() -> None:
    services = re.findall(r"^  (worker-\S+):\n((?:    .*\n)+)", COMPOSE.read_text(), re.MULTILINE)
    assert {name for name, _ in services} == WORKERS.keys()
    assert all(body.count("\n") < 12 for _, body in services)


def test_every_worker_becomes_healthy(project: Project, docker_engine: Engine) -> None:
    deadline = time.monotonic() + 120
    while (states := health(project, docker_engine)) != dict.fromkeys((*WORKERS, SENSORS), "healthy"):
        assert time.monotonic() < deadline, (states, project.run("logs", "--tail", "20").stdout)
        time.sleep(0.2)


def health(project: Project, engine: Engine) -> dict[str, str]:
    found = {}
    for name in (*WORKERS, SENSORS):
        identifier = project.run("ps", "-q", name).stdout.strip()
        if identifier:
            found[name] = engine.client.api.inspect_container(identifier)["State"]["Health"]["Status"]
    return found


@pytest.mark.parametrize("runtime", WORKERS.values())
def test_every_worker_runs_an_action_of_its_language(project: Project, runtime: str) -> None:
    done = project.run("run", "--rm", "-T", "migrations", "run", f"examples.hello_{runtime}", "--json", check=False)
    assert done.returncode == 0, done.stdout + done.stderr + project.run("logs", "--tail", "30").stdout
    assert json.loads(done.stdout)["status"] == "completed"


#: Runs in a replica of the server: makes a rule of each kind, and waits until each has started an action.
_EVENTS = """
import datetime, hashlib, hmac, json, os, sys, time, urllib.request
import psycopg

def post(path, body, **headers):
    headers = {"Content-Type": "application/json", **headers}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request("http://127.0.0.1:8080" + path, content, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["data"]

token = post("/auth/login", {"login": "eve", "password": sys.argv[1]})["access_token"]
own = {"Authorization": "Bearer " + token}
post("/api/v1/triggers", {"ref": "core.pushed", "pack_ref": "core", "label": "pushed"}, **own)
soon = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3)).isoformat()
kinds = {
    "interval": ("core.intervaltimer", {"interval": 1}),
    "cron": ("core.crontimer", {"expression": "* * * * * *", "timezone": "Europe/Berlin"}),
    "date": ("core.datetimetimer", {"fire_at": soon, "missed": "once"}),
    "library": ("libraries.title_given", {"title": "Hello, World!"}),
    "webhook": ("core.pushed", {}),
}
for kind, (trigger, params) in kinds.items():
    rule = {"ref": "core.by_" + kind, "pack_ref": "core", "label": kind, "action_ref": "core.echo"}
    rule |= {"trigger_ref": trigger, "trigger_params": params, "action_params": {"message": kind}}
    post("/api/v1/rules", rule, **own)
hook = post("/api/v1/triggers/core.pushed/webhooks/enable", {}, **own)
digest = hmac.new(hook["webhook_secret"].encode(), b"{}", hashlib.sha256).hexdigest()
post(hook["webhook_url"], b"{}", **{"X-Hub-Signature-256": "sha256=" + digest})
deadline = time.monotonic() + 180
with psycopg.connect(os.environ["ATTUNE__DATABASE__URL"], autocommit=True) as database:
    database.execute("SET search_path = attune")
    while time.monotonic() < deadline:
        ran = "SELECT f.rule_ref, min(w.name) FROM execution x JOIN enforcement f ON f.id = x.enforcement"
        ran += " JOIN worker w ON w.id = x.worker WHERE x.status = 'completed' GROUP BY 1"
        found = dict(database.execute(ran).fetchall())
        if len(found) == len(kinds):
            break
        time.sleep(0.2)
    database.execute("UPDATE rule SET enabled = false WHERE ref LIKE 'core.by_%'")
    processes = database.execute("SELECT sensor_ref, worker_name FROM sensor_process").fetchall()
print(json.dumps([found, dict(processes)]))
"""


def test_timers_a_webhook_and_a_sensor_with_a_library_start_actions_on_other_workers(
    project: Project, docker_engine: Engine
) -> None:
    project.run("run", "--rm", "-T", "attune", "identity", "create", "eve", "--admin", stdin=PASSWORD)
    replica = project.run("ps", "-q", "server").stdout.split()[0]
    command = ["/usr/bin/docker", "exec", replica, "python3", "-c", _EVENTS, PASSWORD]
    done = subprocess.run(command, env=project.environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr + project.run("logs", "--tail", "40", SENSORS).stdout
    ran, processes = json.loads(done.stdout)
    kinds = ("interval", "cron", "date", "library", "webhook")
    assert ran.keys() == {f"core.by_{kind}" for kind in kinds}, project.run("logs", "--tail", "60", SENSORS).stdout
    assert set(ran.values()) <= WORKERS.keys()
    assert processes == {"core.timer_sensor": SENSORS, "libraries.titles": SENSORS}


#: Runs in the replica that lives on: asks both by their addresses, each request again until it is accepted.
_CLIENT = """
import json, os, socket, sys, time, urllib.error, urllib.request
import psycopg

def post(address, path, body, **headers):
    headers = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(f"http://{address}:8080{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["data"]

addresses = sorted({one[4][0] for one in socket.getaddrinfo("server", 8080)})
assert len(addresses) == 2, addresses
token = post(addresses[0], "/auth/login", {"login": "ada", "password": sys.argv[1]})["access_token"]
ids = []
for number in range(200):
    key = {"Authorization": "Bearer " + token, "Idempotency-Key": f"request-{number}"}
    while True:
        address = addresses[number % len(addresses)]
        try:
            body = {"action_ref": "core.echo", "parameters": {"message": str(number)}}
            made = post(address, "/api/v1/executions/execute", body, **key)
            break
        except urllib.error.HTTPError as refusal:
            assert refusal.code == 503, refusal.read()
        except OSError:
            addresses.remove(address)  # it was killed
    ids.append(made["id"])
    print(number, flush=True)
deadline = time.monotonic() + 120
with psycopg.connect(os.environ["ATTUNE__DATABASE__URL"], autocommit=True) as database:
    database.execute("SET search_path = attune")
    while time.monotonic() < deadline:
        counted = "SELECT status::text, count(*) FROM execution WHERE id = ANY(%s) GROUP BY 1"
        statuses = dict(database.execute(counted, [ids]))
        if statuses == {"completed": 200}:
            break
        time.sleep(0.1)
    begun = "SELECT count(*), count(DISTINCT entity_id) FROM execution_history WHERE entity_id = ANY(%s)"
    begun += " AND new_values ->> 'status' = 'running'"
    said = database.execute("SELECT count(*) FROM execution WHERE config ->> 'message' ~ '^[0-9]+$'").fetchone()
    print(json.dumps([statuses, *database.execute(begun, [ids]).fetchone(), said[0]]))
"""


def test_one_of_two_servers_is_killed_during_200_executions_and_each_runs_once(
    project: Project, docker_engine: Engine
) -> None:
    person = project.run("run", "--rm", "-T", "attune", "identity", "create", "ada", "--admin", stdin=PASSWORD)
    assert "ada" in person.stdout
    killed, alive = project.run("ps", "-q", "server").stdout.split()
    command = ["/usr/bin/docker", "exec", alive, "python3", "-c", _CLIENT, PASSWORD]
    with subprocess.Popen(command, env=project.environment, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        for line in client.stdout:
            if line == "100\n":
                docker_engine.client.containers.get(killed).kill()
            last = line
    assert client.returncode == 0
    # Each once: completed, begun so often, by so many, and no other was accepted.
    assert json.loads(last) == [{"completed": 200}, 200, 200, 200]
    assert docker_engine.client.api.inspect_container(killed)["State"]["Status"] == "exited"


def test_a_new_installation_leaves_running_workers_alone(project: Project) -> None:
    project.run("up", "-d", "--force-recreate", "--no-deps", "agent")
    test = project.run("exec", "-T", "worker-python", "/opt/attune/bin/attune-agent", "health", "--live")
    assert test.returncode == 0


def test_workers_drain_when_they_are_stopped(project: Project, docker_engine: Engine) -> None:
    identifiers = [project.run("ps", "-q", name).stdout.strip() for name in WORKERS]
    project.run("stop", *WORKERS)
    states = [docker_engine.client.api.inspect_container(identifier)["State"] for identifier in identifiers]
    assert [state["ExitCode"] for state in states] == [0] * len(WORKERS)
