"""What an action finds around it: variables, token, working directory, descriptors."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from tests.services.deployment import JWT_SECRET, Deployment, running_deployment

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

PYTHON = f"#!{sys.executable} -SE\nimport json, os\n"
# The token letter by letter: as a whole it would be masked.
SHOW = PYTHON + (
    "shown = dict(os.environ)\n"
    "if token := shown.pop('ATTUNE_API_TOKEN', None): shown['ATTUNE_API_TOKEN'] = list(token)\n"
    "print(json.dumps(shown))\n"
)

#: Set for the agent itself: what its container has.
CONTAINER = {
    "HTTP_PROXY": "http://proxy",
    "ATTUNE_API_TOKEN": "of the container",
    "ATTUNE_API_URL": "http://0.0.0.0:9/",
    # With a URL and no sentinel, packs and logs would go over HTTP.
    "ATTUNE__PACKS__TRANSPORT": "volume",
    "ATTUNE__ARTIFACTS__TRANSPORT": "volume",
}


@pytest.fixture(scope="module")
def deployment(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """One agent in a container with variables of its own."""
    with running_deployment(request) as laid_out:
        laid_out.start_agent(**CONTAINER)
        laid_out.add_action("environment.show", SHOW, runtime="core.native", output_format="json")
        yield laid_out


def variables(deployment: Deployment, config: Any = None, **columns: Any) -> dict[str, str]:
    """Run the action that shows its environment."""
    done = deployment.run("environment.show", config, **columns)
    assert done.status == "completed", done.result
    environment: dict[str, str] = done.result["data"]
    return {name: "".join(value) for name, value in environment.items()}


def test_the_documented_variables_are_there(deployment: Deployment) -> None:
    done = deployment.run("environment.show")
    documented = {name: value for name, value in done.result["data"].items() if name.startswith("ATTUNE")}
    assert documented == {
        "ATTUNE_EXEC_ID": str(done.id),
        "ATTUNE_ACTION": "environment.show",
        "ATTUNE_PACK_REF": "environment",
        "ATTUNE_API_URL": "http://127.0.0.1:9/",
        "ATTUNE_ARTIFACTS_DIR": str(deployment.artifacts),
        "ATTUNE_RUNTIME_ENVS_DIR": str(deployment.directory / "envs"),
        "ATTUNE_PARAMETER_DELIVERY": "stdin",
        "ATTUNE_PARAMETER_FORMAT": "json",
    }


def test_the_settings_of_the_agent_stay_with_the_agent(deployment: Deployment) -> None:
    environment = variables(deployment)
    assert [name for name in environment if name.startswith("ATTUNE__")] == []
    assert JWT_SECRET not in environment.values()


def test_the_variables_of_the_container_are_passed_on(deployment: Deployment) -> None:
    assert variables(deployment)["HTTP_PROXY"] == "http://proxy"


def test_without_a_configured_url_the_api_is_where_the_server_says(deployment: Deployment) -> None:
    unset = {"ATTUNE_API_URL": "", "ATTUNE__SERVER__PORT": "8123"}
    with deployment.another_agent("plain", **unset) as agent:
        environment = variables(deployment, worker=agent.worker_id)
    assert environment["ATTUNE_API_URL"] == "http://127.0.0.1:8123"


def test_rule_and_trigger_come_from_the_enforcement(deployment: Deployment) -> None:
    row = deployment.one(
        "INSERT INTO enforcement (rule_ref, trigger_ref, payload) VALUES ('core.rule', 'core.timer', '{}') RETURNING id"
    )
    environment = variables(deployment, enforcement=row["id"])
    assert (environment["ATTUNE_RULE"], environment["ATTUNE_TRIGGER"]) == ("core.rule", "core.timer")
    assert "ATTUNE_RULE" not in variables(deployment)


def test_the_context_becomes_variables(deployment: Deployment) -> None:
    context = {"user": "jo", "depth": 3, "dry": False, "tags": ["a", {"b": 1}], "none": None}
    environment = variables(deployment, {"context": context})
    found = {name: value for name, value in environment.items() if name.startswith("ATTUNE_CONTEXT_")}
    assert found == {
        "ATTUNE_CONTEXT_USER": "jo",
        "ATTUNE_CONTEXT_DEPTH": "3",
        "ATTUNE_CONTEXT_DRY": "false",
        "ATTUNE_CONTEXT_TAGS": '["a",{"b":1}]',
        "ATTUNE_CONTEXT_NONE": "null",
    }


def test_variables_of_the_execution_are_set_but_never_ours(deployment: Deployment) -> None:
    own = {"STAGE": "test", "HTTP_PROXY": "", "ATTUNE_ACTION": "forged", "ATTUNE_EXTRA": "no", "NUMBER": 5}
    environment = variables(deployment, env_vars=own)
    assert (environment["STAGE"], environment["HTTP_PROXY"]) == ("test", "")
    assert environment["ATTUNE_ACTION"] == "environment.show"
    assert not {"ATTUNE_EXTRA", "NUMBER"} & set(environment)
    warnings = [record["message"] for record in deployment.agent.records(level="warn")]
    assert any("can't set ATTUNE_ACTION" in warning for warning in warnings)


def test_variables_of_the_runtime_extend_those_of_the_execution(deployment: Deployment) -> None:
    config = {
        "interpreter": {"binary": sys.executable, "args": ["-SE"], "file_extension": ".sepy"},
        "env_vars": {
            "SEARCH": {"operation": "prepend", "value": "{pack_dir}/lib", "separator": ":"},
            "TAIL": {"operation": "append", "value": "end", "separator": ","},
            "FIXED": "value",
        },
    }
    deployment.add_runtime("environment.sepy", config)
    deployment.add_action(
        "environment.runtime", SHOW, runtime="environment.sepy", entrypoint="runtime.sepy", output_format="json"
    )
    done = deployment.run("environment.runtime", env_vars={"SEARCH": "/mine", "TAIL": "start"})
    assert done.status == "completed", done.result
    pack = deployment.packs / "environment"
    expected = {"SEARCH": f"{pack}/lib:/mine", "TAIL": "start,end", "FIXED": "value"}
    assert {name: done.result["data"][name] for name in expected} == expected


# --- the token ---


def test_without_permissions_there_is_no_token_not_even_the_containers(deployment: Deployment) -> None:
    assert "ATTUNE_API_TOKEN" not in variables(deployment)


def test_a_token_says_what_the_execution_may_do(deployment: Deployment) -> None:
    identity = deployment.one("INSERT INTO identity (login) VALUES ('jo') RETURNING id")["id"]
    done = deployment.run(
        "environment.show", permission_set_refs=["standard", "ops.read"], executor=identity, workflow_task=None
    )
    token = "".join(done.result["data"]["ATTUNE_API_TOKEN"])
    claims = jwt.decode(token, JWT_SECRET, algorithms=["HS256"])
    assert jwt.get_unverified_header(token) == {"typ": "JWT", "alg": "HS256"}
    assert abs(claims.pop("iat") - time.time()) < 60
    assert claims.pop("exp") > time.time() + 300
    assert claims == {
        "sub": str(identity),
        "login": f"execution:{done.id}",
        "token_type": "execution",
        "scope": "execution",
        "metadata": {
            "execution_id": done.id,
            "action_ref": "environment.show",
            "permission_set_refs": ["standard", "ops.read"],
            "standard_access_action_refs": ["environment.show"],
            "standard_access_pack_refs": ["environment"],
        },
    }


def test_a_token_lives_as_long_as_its_execution_and_a_minute(deployment: Deployment) -> None:
    task = {"task_name": "t", "timeout_seconds": 40}
    environment = variables(deployment, permission_set_refs=["standard"], workflow_task=task)
    claims = jwt.decode(environment["ATTUNE_API_TOKEN"], JWT_SECRET, algorithms=["HS256"])
    assert claims["exp"] - claims["iat"] == 100
    assert claims["sub"] == "1"


def test_a_task_of_a_workflow_may_reach_what_its_parent_may(deployment: Deployment) -> None:
    parent = deployment.schedule("flow.nightly")
    environment = variables(
        deployment, permission_set_refs=["standard"], parent=parent, workflow_task={"task_name": "t"}
    )
    metadata = jwt.decode(environment["ATTUNE_API_TOKEN"], JWT_SECRET, algorithms=["HS256"])["metadata"]
    assert metadata["standard_access_action_refs"] == ["environment.show", "flow.nightly"]
    assert metadata["standard_access_pack_refs"] == ["environment", "flow"]


@pytest.mark.parametrize(("secret", "warned"), [("", False), ("short", True)])
def test_an_agent_without_a_good_secret_says_so_once(deployment: Deployment, secret: str, warned: bool) -> None:
    with deployment.another_agent(
        f"poor-{len(secret)}", ATTUNE__SECURITY__JWT_SECRET=secret, PYTHONWARNINGS="error"
    ) as agent:
        for _ in range(2):
            environment = variables(deployment, permission_set_refs=["standard"], worker=agent.worker_id)
            assert ("ATTUNE_API_TOKEN" in environment) is bool(secret)
    assert agent.log().count("security.jwt_secret has") == warned
    assert "Warning" not in agent.log()


# --- the process ---


def test_the_working_directory_is_the_pack(deployment: Deployment) -> None:
    deployment.add_action("environment.where", "pwd\n")
    assert deployment.run("environment.where").result["stdout"].strip() == str(deployment.packs / "environment")


def test_nothing_but_the_standard_streams_is_open(deployment: Deployment) -> None:
    script = PYTHON + "print(json.dumps(sorted(map(int, os.listdir('/proc/self/fd')))))\n"
    deployment.add_action("environment.descriptors", script, runtime="core.native", output_format="json")
    assert deployment.run("environment.descriptors").result["data"] == [0, 1, 2, 3]  # 3 is the listing itself


def test_a_child_leads_a_process_group_with_default_signals(deployment: Deployment) -> None:
    script = PYTHON + (
        "state = dict(line.split(':', 1) for line in open('/proc/self/status'))\n"
        "print(json.dumps([os.getpgrp() == os.getpid(), int(state['SigIgn'], 16), int(state['SigBlk'], 16)]))\n"
    )
    deployment.add_action("environment.signals", script, runtime="core.native", output_format="json")
    leads, ignored, blocked = deployment.run("environment.signals").result["data"]
    assert (leads, blocked) == (True, 0)
    # Python itself ignores SIGPIPE (13) and SIGXFSZ (25); what is beyond 31 belongs to the C library.
    assert ignored & 0x7FFF_FFFF == 1 << 12 | 1 << 24


def test_nothing_of_one_execution_reaches_the_next(deployment: Deployment) -> None:
    one, two = variables(deployment), variables(deployment)
    assert {name for name in one.keys() | two.keys() if one.get(name) != two.get(name)} == {"ATTUNE_EXEC_ID"}
