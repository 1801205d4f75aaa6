"""The environment of an action: what is in it, what wins, and what never gets in."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from agent.errors import InvalidExecution
from agent.execution.inputs.variables import Site, api_url, build_environment
from agent.execution.model import Action, Execution
from agent.execution.secrets.redaction import MARKER
from agent.runtimes.model import EnvVar

SITE = Site("http://api:8080", "/opt/attune/artifacts", "/opt/attune/runtime_envs")
ACTION = Action(55, "ops.rotate", 12, "ops", "rotate.sh", parameter_delivery="stdin", parameter_format="json")


def environment(
    container: dict[str, str] | None = None, of_runtime: dict[str, EnvVar] | None = None, **changes: Any
) -> dict[str, str]:
    own = {name: changes.pop(name) for name in ("api_token", "parameter_file") if name in changes}
    execution = Execution(901, 55, "ops.rotate", **changes)
    return build_environment(container or {}, SITE, execution, ACTION, of_runtime or {}, **own)[0]


def test_a_plain_execution_gets_exactly_the_documented_variables() -> None:
    assert environment({"PATH": "/bin", "LANG": "C.UTF-8"}) == {
        "PATH": "/bin",
        "LANG": "C.UTF-8",
        "ATTUNE_EXEC_ID": "901",
        "ATTUNE_ACTION": "ops.rotate",
        "ATTUNE_PACK_REF": "ops",
        "ATTUNE_API_URL": "http://api:8080",
        "ATTUNE_ARTIFACTS_DIR": "/opt/attune/artifacts",
        "ATTUNE_RUNTIME_ENVS_DIR": "/opt/attune/runtime_envs",
        "ATTUNE_PARAMETER_DELIVERY": "stdin",
        "ATTUNE_PARAMETER_FORMAT": "json",
    }


def test_token_rule_trigger_and_parameter_file_are_there_when_they_exist() -> None:
    env = environment(api_token="t", rule_ref="ops.r", trigger_ref="core.timer", parameter_file="/tmp/p")
    assert env["ATTUNE_API_TOKEN"] == "t"
    assert env["ATTUNE_RULE"] == "ops.r"
    assert env["ATTUNE_TRIGGER"] == "core.timer"
    assert env["ATTUNE_PARAMETER_FILE"] == "/tmp/p"


def test_what_the_container_has_of_another_execution_does_not_reach_the_action() -> None:
    stale = dict.fromkeys(("ATTUNE_API_TOKEN", "ATTUNE_PARAMETER_FILE", "ATTUNE_RULE", "ATTUNE_TRIGGER"), "stale")
    assert "stale" not in environment(stale).values()


def test_variables_of_the_execution_override_the_container_but_not_attune() -> None:
    execution = Execution(
        901, 55, "ops.rotate", env_vars={"LANG": "de", "ATTUNE_EXEC_ID": "1", "ATTUNE_ANYTHING": "x", "MORE": ""}
    )
    env, warnings = build_environment({"LANG": "C"}, SITE, execution, ACTION, {})
    assert env["LANG"] == "de"
    assert env["MORE"] == ""
    assert env["ATTUNE_EXEC_ID"] == "901"
    assert "ATTUNE_ANYTHING" not in env
    assert len(warnings) == 2
    assert "ATTUNE_ANYTHING" in warnings[1]


@pytest.mark.parametrize(
    "env_vars",
    [{"A": 1}, {"A": None}, {"A": {"x": 1}}, {"": "x"}, {"A=B": "x"}, {"A\0": "x"}, {"A": "\0"}, ["A"], "A=1"],
)
def test_variables_that_no_environment_can_hold_are_ignored_with_a_warning(env_vars: Any) -> None:
    execution = Execution(901, 55, "ops.rotate", env_vars=env_vars)
    env, warnings = build_environment({}, SITE, execution, ACTION, {})
    assert env == environment()
    assert len(warnings) == 1


def test_the_context_is_exported_upper_cased() -> None:
    context = {"user": "joe", "n": 3, "ok": True, "none": None, "list": [1, {"a": "é"}], "text": '"quoted"'}
    env = environment(config={"context": context, "other": 1})
    assert {name: value for name, value in env.items() if "CONTEXT" in name} == {
        "ATTUNE_CONTEXT_USER": "joe",
        "ATTUNE_CONTEXT_N": "3",
        "ATTUNE_CONTEXT_OK": "true",
        "ATTUNE_CONTEXT_NONE": "null",
        "ATTUNE_CONTEXT_LIST": '[1,{"a":"é"}]',
        "ATTUNE_CONTEXT_TEXT": '"quoted"',
    }


@pytest.mark.parametrize("config", [None, [], {"context": "text"}, {"context": None}, {}])
def test_only_an_object_is_a_context(config: Any) -> None:
    assert environment(config=config) == environment()


def test_a_redacted_value_in_the_context_stays_redacted() -> None:
    env = environment(config={"context": {"token": dict(MARKER)}})
    assert env["ATTUNE_CONTEXT_TOKEN"] == '{"$attune_secret":true,"redacted":true}'


def test_context_that_no_environment_can_hold_is_ignored_with_a_warning() -> None:
    execution = Execution(901, 55, "ops.rotate", config={"context": {"a=b": 1, "c": "\0"}})
    env, warnings = build_environment({}, SITE, execution, ACTION, {})
    assert env == environment()
    assert len(warnings) == 2


@pytest.mark.parametrize(
    ("variable", "own", "expected"),
    [
        (EnvVar("/lib"), "/mine", "/lib"),
        (EnvVar("/lib", "prepend"), "/mine", "/lib:/mine"),
        (EnvVar("/lib", "append"), "/mine", "/mine:/lib"),
        (EnvVar("/lib", "append", ";"), "/mine", "/mine;/lib"),
        (EnvVar("/lib", "prepend"), None, "/lib"),
        (EnvVar("/lib", "append"), "", "/lib"),
        (EnvVar("", "prepend"), "/mine", "/mine"),
        (EnvVar("", "append"), None, ""),
    ],
)
def test_variables_of_the_runtime_join_what_the_execution_sets(
    variable: EnvVar, own: str | None, expected: str
) -> None:
    env_vars = None if own is None else {"MINE_PATH": own}
    execution = Execution(901, 55, "ops.rotate", env_vars=env_vars)
    env = build_environment({"MINE_PATH": "/container"}, SITE, execution, ACTION, {"MINE_PATH": variable})[0]
    assert env["MINE_PATH"] == expected


def test_the_variables_about_parameters_cannot_be_changed_by_a_runtime() -> None:
    env = environment(of_runtime={"ATTUNE_PARAMETER_FORMAT": EnvVar("xml"), "ATTUNE_RULE": EnvVar("theirs")})
    assert env["ATTUNE_PARAMETER_FORMAT"] == "json"
    assert env["ATTUNE_RULE"] == "theirs"


def test_the_environment_of_the_container_is_left_as_it_is() -> None:
    container = {"ATTUNE_RULE": "x", "A": "1"}
    environment(container)
    assert container == {"ATTUNE_RULE": "x", "A": "1"}


@pytest.mark.parametrize(
    ("configured", "host", "port", "url"),
    [
        (None, "0.0.0.0", 8080, "http://127.0.0.1:8080"),
        (None, "::", 80, "http://127.0.0.1:80"),
        (None, "[::]", 80, "http://127.0.0.1:80"),
        (None, "fe80::1", 80, "http://[fe80::1]:80"),
        (None, "api.example", 8080, "http://api.example:8080"),
        ("", "api.example", 8080, "http://api.example:8080"),
        ("https://api/x", "0.0.0.0", 8080, "https://api/x"),
        ("http://0.0.0.0:9", "h", 1, "http://127.0.0.1:9"),
    ],
)
def test_the_address_of_the_api_is_one_that_can_be_reached(
    configured: str | None, host: str, port: int, url: str
) -> None:
    assert api_url(configured, host, port) == url


@pytest.mark.parametrize(
    "name",
    [
        "BASH_ENV",
        "ENV",
        "NODE_OPTIONS",
        "LD_PRELOAD",
        "LD_AUDIT",
        "PYTHONPATH",
        "RUBYOPT",
        "PERL5OPT",
        "JAVA_TOOL_OPTIONS",
        "PATH",
        "HOME",
        "BASH_FUNC_ls%%",
        "R_PROFILE_USER",
        "GIT_SSH_COMMAND",
    ],
)
def test_an_execution_cannot_set_a_variable_that_loads_code(name: str) -> None:
    with pytest.raises(InvalidExecution, match=re.escape(name)):
        build_environment({}, SITE, Execution(901, 55, "ops.rotate", env_vars={name: "x"}), ACTION, {})


def test_an_operator_lets_names_through() -> None:
    site = replace(SITE, allowed=frozenset({"NODE_OPTIONS"}))
    env, warnings = build_environment(
        {}, site, Execution(901, 55, "ops.rotate", env_vars={"NODE_OPTIONS": "--trace-warnings"}), ACTION, {}
    )
    assert (env["NODE_OPTIONS"], warnings) == ("--trace-warnings", [])


def test_what_a_runtime_sets_itself_is_not_touched() -> None:
    env, _ = build_environment({}, SITE, Execution(901, 55, "ops.rotate"), ACTION, {"PYTHONPATH": EnvVar("/pack/lib")})
    assert env["PYTHONPATH"] == "/pack/lib"


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("container", "of_runtime", "own", "expected"),
    [
        ({}, {}, None, TRACE),
        ({"TRACEPARENT": "the container's"}, {"TRACEPARENT": EnvVar("the runtime's")}, None, TRACE),
        ({}, {"TRACEPARENT": EnvVar("the runtime's", "append")}, None, TRACE),
        ({}, {}, {"TRACEPARENT": "its own"}, "its own"),
        ({}, {"TRACEPARENT": EnvVar("the runtime's")}, {"TRACEPARENT": "its own"}, "its own"),
        ({}, {}, {"TRACEPARENT": ""}, ""),
        ({}, {}, {"TRACEPARENT": 7}, TRACE),
    ],
)
def test_the_trace_of_the_dispatch_wins_over_all_but_the_executions_own(
    container: dict[str, str], of_runtime: dict[str, EnvVar], own: dict[str, Any] | None, expected: str
) -> None:
    execution = Execution(901, 55, "ops.rotate", env_vars=own)
    env, _ = build_environment(container, SITE, execution, ACTION, of_runtime, traceparent=TRACE)
    assert env["TRACEPARENT"] == expected


def test_without_a_trace_a_runtimes_stays() -> None:
    assert environment(of_runtime={"TRACEPARENT": EnvVar("the runtime's")})["TRACEPARENT"] == "the runtime's"
    assert "TRACEPARENT" not in environment()
