"""Secrets are planted wherever an execution can get some; afterwards they are looked for everywhere, and aren't there.

Promises: secrets fail closed; settings stay with the agent.
"""

from __future__ import annotations

import hashlib
import resource
import subprocess
import sys
from pathlib import Path
from signal import SIGABRT

import pytest
from psycopg.types.json import Jsonb

from tests.integration.worker.test_execution_secrets import MARKER, Keys, encrypt
from tests.services import planted as search
from tests.services.agent_process import ROOT, AgentProcess
from tests.services.deployment import ENCRYPTION_KEY, JWT_SECRET, Deployment
from tests.services.planted import Findings, Planted
from tests.services.ports import free_ports
from tests.services.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

OUT_SCHEMA = {"token": {"type": "string", "secret": True}}
PARAMETERS = {"pin": {"type": "string", "secret": True}}
BOTH_BROKERS = pytest.mark.parametrize("fresh_deployment", ["rabbitmq", "database"], indirect=True)

#: Shows all that it knows, in one piece, in two, and encoded; then it says so, and ends as the action does.
SHOW = """#!/bin/sh
if [ -n "$ATTUNE_PARAMETER_FILE" ]; then given=$(cat "$ATTUNE_PARAMETER_FILE"); else IFS= read -r given; fi
made=$(printf %s {pieces})
for stream in {streams}; do
    echo "given $given token $ATTUNE_API_TOKEN" >&$stream
    printf '%s' "$given" | base64 -w0 >&$stream
    printf '%s' "$given" | head -c 40 >&$stream; sleep 0.05; printf '%s' "$given" | tail -c +41 >&$stream
done
echo "$ATTUNE_API_TOKEN" > {told}/token.$ATTUNE_EXEC_ID
mv {told}/token.$ATTUNE_EXEC_ID {told}/shown.$ATTUNE_EXEC_ID
{end}
"""
AS_JSON = 'echo "{\\"token\\": \\"$made\\", \\"given\\": $given}"; exit'
AS_TEXT = 'echo "made $made"; exit'
WAITING = 'echo "made $made"; sleep 600'


class Site:
    """A deployment with secrets in it. ``told`` is where jobs tell the test what only they know; nobody searches it."""

    def __init__(self, deployment: Deployment, told: Path, port: int) -> None:
        """Store a secret for the system, the pack and the action."""
        self.deployment = deployment
        self.planted = Planted()
        self.pin = self.planted.new("secret parameter")
        self.told = told
        self.port = port
        self.last = 0
        self.planted.add("encryption key", ENCRYPTION_KEY)
        self.planted.add("signing secret", JWT_SECRET)
        deployment.add_pack("vault")
        self.keys = Keys(deployment)
        self.keys.add("of_system", self.planted.new("key of the system"))
        self.keys.add("of_pack", self.planted.new("key of the pack"), owner="vault")

    def action(self, name: str, end: str, *, streams: str = "1 2", **columns: object) -> str:
        """Register an action; the secret of its output is one that the agent learns of from the output alone."""
        secret = self.planted.new(f"output of {name}")
        pieces = " ".join(secret[start : start + 6] for start in range(0, len(secret), 6))
        script = SHOW.format(pieces=pieces, streams=streams, told=self.told, end=end)
        values = {"out_schema": OUT_SCHEMA, "output_format": "json", "param_schema": PARAMETERS}
        self.deployment.add_action(f"vault.{name}", script, **(values | columns))
        self.keys.add(f"of_{name}", self.planted.new(f"key of {name}"), owner=f"vault.{name}")
        return f"vault.{name}"

    def start(self, ref: str) -> int:
        """Ask for an execution with a secret parameter and a token, as the API does."""
        config = {"pin": dict(MARKER), "context": {"pin": dict(MARKER)}}
        self.last = self.deployment.schedule(ref, config, permission_set_refs=["standard"])
        for path in ("/pin", "/context/pin"):
            values = {"entity_type": "execution_config", "entity_id": self.last, "json_path": path}
            values |= {"source_kind": "parameter_schema", "source_ref": "/pin"}
            values |= {"encrypted_value": Jsonb(encrypt(self.pin))}
            values |= {"encryption_key_hash": hashlib.sha256(ENCRYPTION_KEY.encode()).hexdigest()}
            self.deployment.insert("execution_secret_value", values)
        self.deployment.dispatch(self.last)
        return self.last

    def shown(self, ref: str) -> int:
        """Start an execution and wait until it has shown what it knows; its token is a secret from now on, too."""
        id_ = self.start(ref)
        file = self.told / f"shown.{id_}"
        until(file.exists, f"{ref} showing its secrets")
        head, _, signature = file.read_text().strip().rpartition(".")
        assert head.startswith("eyJ")
        self.planted.add(f"token of {id_}", signature)  # what stands before it says who signed and for what
        return id_

    def cause(self, id_: int) -> str:
        """Wait for an execution's end; return its cause, its status where it has none."""
        ended = self.deployment.wait(id_)
        return str((ended.result or {}).get("cause") or ended.status)

    def written(self) -> Findings:
        """Look through every row, every message, every file, the metrics and the answer about health."""
        self.deployment.messages(self.last)
        places = [*search.rows(self.deployment), *search.messages(self.deployment.received)]
        places += [*search.files(self.deployment.directory), ("metrics", search.page(self.port))]
        asked = subprocess.run(
            [sys.executable, "-m", "agent", "health"],
            env=self.deployment.environment,
            cwd=ROOT,
            capture_output=True,
            check=False,
        )
        places.append(("health", asked.stdout + asked.stderr))
        return search.in_places(self.planted, iter(places))


@pytest.fixture
def site(fresh_deployment: Deployment, tmp_path: Path) -> Site:
    """An agent that logs all it can, may dump core, and has each directory of its own below the deployment's."""
    (port,) = free_ports(1)
    laid_out = Site(fresh_deployment, tmp_path, port)
    for name in ("tmp", "scratch"):
        (fresh_deployment.directory / name).mkdir()
    fresh_deployment.settings |= {
        "TMPDIR": str(fresh_deployment.directory / "tmp"),
        "ATTUNE__WORKER__SCRATCH_DIR": str(fresh_deployment.directory / "scratch"),
        "ATTUNE__WORKER__METRICS_ADDRESS": f"127.0.0.1:{port}",
        "ATTUNE__LOG__LEVEL": "trace",
        "TRACEPARENT": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    start(laid_out)
    return laid_out


def start(site: Site) -> AgentProcess:
    """Start the agent, or its next life, with the limit for core dumps as an image may set it."""
    return site.deployment.start_agent(through=("prlimit", f"--core={resource.RLIM_INFINITY}"))


@BOTH_BROKERS
def test_planted_secrets_are_nowhere_however_an_execution_ends(site: Site) -> None:
    deployment = site.deployment
    ends = {
        site.action("json", f"{AS_JSON} 0", streams="2"): "completed",
        site.action("json_failing", f"{AS_JSON} 3", streams="2"): "exit",
        site.action("text", f"{AS_TEXT} 0"): "completed",
        site.action("text_failing", f"{AS_TEXT} 3"): "exit",
        site.action("plain", "exit 3", out_schema=None): "exit",
        site.action("file", f"{AS_TEXT} 3", parameter_delivery="file", parameter_format="yaml"): "exit",
        site.action("dotenv", f"{AS_TEXT} 3", parameter_delivery="file", parameter_format="dotenv"): "exit",
        site.action("late", WAITING, timeout_seconds=1): "timeout",
        site.action("crashing", 'echo "made $made"; kill -SEGV $$'): "signal",
    }
    assert {ref: site.cause(site.shown(ref)) for ref in ends} == ends

    cancelled = site.shown(site.action("cancelled", WAITING))
    deployment.cancel(cancelled)
    assert site.cause(cancelled) == "cancelled"

    waiting = site.action("waiting", WAITING, parameter_delivery="file")
    for crash in (AgentProcess.kill, abort):  # as the kernel ends one, and as a bug in a library does
        left = site.shown(waiting)
        crash(deployment.agent)
        start(site)
        assert site.cause(left) == "worker_lost"

    assert site.written() == {}
    assert not [*ROOT.glob("core*"), *(deployment.directory / "scratch").iterdir()]
    assert deployment.agent.stop() == 0
    assert search.in_places(site.planted, search.files(deployment.directory)) == {}


def abort(agent: AgentProcess) -> None:
    """End an agent with the signal that dumps core by default."""
    agent.signal(SIGABRT)
    agent.wait()


@BOTH_BROKERS
def test_while_a_job_runs_its_secrets_are_where_the_documents_say_and_nowhere_else(site: Site) -> None:
    deployment = site.deployment
    id_ = site.shown(site.action("running", WAITING, parameter_delivery="file"))
    agent = search.in_places(site.planted, search.of_process(deployment.agent.pid))
    assert agent == {"/proc/environ": {"encryption key", "signing secret"}}
    jobs = search.descendants(deployment.agent.pid)
    assert jobs
    for job in jobs:
        seen = search.in_places(site.planted, search.of_process(job))
        assert seen == {"/proc/environ": {f"token of {id_}"}}
    deployment.messages(id_, until="ExecutionStatusChanged")
    (parameters,) = (deployment.directory / "scratch").iterdir()
    assert parameters.stat().st_mode & 0o777 == 0o400
    found = search.in_places(site.planted, search.files(deployment.directory))
    assert set(found) == {str(parameters)}
    assert found[str(parameters)] == {"secret parameter", "key of the system", "key of the pack", "key of running"}
    assert search.in_places(site.planted, search.rows(deployment)) == {}
    assert search.in_places(site.planted, search.messages(deployment.received)) == {}
    deployment.cancel(id_)
    assert site.cause(id_) == "cancelled"
    assert site.written() == {}


@pytest.mark.parametrize("fresh_deployment", ["database"], indirect=True)
def test_the_search_finds_what_somebody_lets_out(site: Site) -> None:
    deployment = site.deployment
    careless = site.planted.new("secret that nobody declares")
    name = "s" + careless[1:]
    site.planted.add("name of a file", name)
    pieces = f"{careless[:10]}''{careless[10:20]}''{careless[20:30]}''{careless[30:]}"
    script = f"cd $ATTUNE_ARTIFACTS_DIR && : > {name} && echo {pieces} | base64 && echo {pieces} > file\n"
    deployment.add_action("vault.careless", script)
    site.last = deployment.run("vault.careless").id
    found = set(site.written())
    assert "table execution" in found
    assert [place for place in found if place.startswith("message in ")]
    assert {str(deployment.artifacts / "file"), f"name of {deployment.artifacts / name}"} <= found
    log = deployment.one("SELECT file_path AS path FROM artifact_version WHERE execution = %s", [site.last])
    assert str(deployment.artifacts / log["path"]) in found


def test_a_job_that_raises_its_own_limit_dumps_core_and_the_search_sees_it(
    site: Site, fresh_deployment: Deployment
) -> None:
    control = subprocess.run(["/bin/sh", "-c", "ulimit -c unlimited; kill -SEGV $$"], cwd=site.told, check=False)
    if control.returncode >= 0 or not list(site.told.glob("core*")):
        pytest.skip("the kernel writes no core dump into a process's directory here (kernel.core_pattern)")
    ref = site.action("dumping", "ulimit -c unlimited; kill -SEGV $$")
    assert site.cause(site.shown(ref)) == "signal"
    (place,) = {Path(place).parent for place in site.written()}
    assert place == fresh_deployment.packs / "vault"
