"""Parameters as a child process really receives them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from psycopg.types.json import Jsonb

from tests.services.agent_process import AgentProcess
from tests.services.deployment import Deployment

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

CONFIG = {"host": "db1", "keep": 3, "on": True, "none": None, "list": [1, "b"], "nested": {"ä": "it's"}, "empty": {}}
DOTENV = "host='db1'\nkeep='3'\nlist='[1,\"b\"]'\nnested.ä='it'\\''s'\nnone=''\non='true'"

#: Prints the document that it got, between marks that show where it ends.
ECHO = {
    "stdin": "cat; printf '<end>'\n",
    "file": 'cat; cat "$ATTUNE_PARAMETER_FILE"; printf "<end>"\n',
}


def echo(deployment: Deployment, config: Any, *, delivery: str = "stdin", fmt: str = "json", **columns: Any) -> str:
    """Run an action that prints its document; return it as it was."""
    number = len(deployment.all("SELECT 1 FROM action"))
    ref = f"parameters.echo_{number}"
    deployment.add_action(ref, ECHO[delivery], parameter_delivery=delivery, parameter_format=fmt, **columns)
    done = deployment.run(ref, config)
    assert done.status == "completed", done.result
    document, end = done.result["stdout"].split("<end>")
    assert end == ""
    return str(document)


def test_json_on_standard_input_is_one_compact_line(deployment: Deployment) -> None:
    document = echo(deployment, CONFIG)
    assert json.loads(document) == CONFIG
    assert document == json.dumps(json.loads(document), ensure_ascii=False, separators=(",", ":")) + "\n"


def test_json_in_a_file_has_no_final_newline(deployment: Deployment) -> None:
    document = echo(deployment, CONFIG, delivery="file")
    assert json.loads(document) == CONFIG
    assert not document.endswith("\n")


@pytest.mark.parametrize(("delivery", "end"), [("stdin", "\n\n"), ("file", "\n")])
def test_yaml_is_a_block_mapping(deployment: Deployment, delivery: str, end: str) -> None:
    document = echo(deployment, CONFIG, delivery=delivery, fmt="yaml")
    assert yaml.safe_load(document) == CONFIG
    assert "host: db1\n" in document
    assert document.endswith(end)
    assert not document.endswith(end + "\n")


@pytest.mark.parametrize(("delivery", "end"), [("stdin", "\n"), ("file", "")])
def test_dotenv_is_flat_quoted_and_sorted(deployment: Deployment, delivery: str, end: str) -> None:
    assert echo(deployment, CONFIG, delivery=delivery, fmt="dotenv") == DOTENV + end


@pytest.mark.parametrize(("fmt", "document"), [("json", "{}\n"), ("yaml", "{}\n\n"), ("dotenv", "\n")])
def test_no_parameters_are_an_empty_document(deployment: Deployment, fmt: str, document: str) -> None:
    assert echo(deployment, {}, fmt=fmt) == document


@pytest.mark.parametrize("config", [None, [1, 2], "text", 7])
def test_a_configuration_that_is_no_object_means_no_parameters(deployment: Deployment, config: Any) -> None:
    deployment.add_action(f"parameters.odd_{type(config).__name__.lower()}", "cat\n")
    done = deployment.run(f"parameters.odd_{type(config).__name__.lower()}", Jsonb(config))
    assert done.result["stdout"] == "{}\n"


def test_a_shell_can_source_a_dotenv_document_whatever_it_holds(deployment: Deployment) -> None:
    script = '. "$ATTUNE_PARAMETER_FILE"; printf "%s" "$value"\n'
    deployment.add_action("parameters.source", script, parameter_delivery="file", parameter_format="dotenv")
    value = "a 'b' \"c\" $(echo pwned) `id` \\ \n second line ä"
    assert deployment.run("parameters.source", {"value": value}).result["stdout"] == value


def test_a_parameter_file_is_private_and_gone_afterwards(deployment: Deployment) -> None:
    script = 'stat -c "%a %s" "$ATTUNE_PARAMETER_FILE"; echo "$ATTUNE_PARAMETER_FILE"\n'
    deployment.add_action("parameters.private", script, parameter_delivery="file")
    mode, path = deployment.run("parameters.private", {"a": 1}).result["stdout"].splitlines()
    assert mode == "400 7"
    assert not Path(path).exists()


def test_a_parameter_file_is_gone_after_a_failure_too(deployment: Deployment) -> None:
    script = 'echo "$ATTUNE_PARAMETER_FILE"; kill -KILL $$\n'
    deployment.add_action("parameters.killed", script, parameter_delivery="file")
    path = deployment.run("parameters.killed").result["stdout"].strip()
    assert Path(path).is_absolute()
    assert not Path(path).exists()


def test_the_child_is_told_how_it_gets_its_parameters(deployment: Deployment) -> None:
    script = 'echo "$ATTUNE_PARAMETER_DELIVERY $ATTUNE_PARAMETER_FORMAT ${ATTUNE_PARAMETER_FILE-unset}"\n'
    deployment.add_action("parameters.told", script, parameter_format="yaml")
    assert deployment.run("parameters.told").result["stdout"] == "stdin yaml unset\n"


# --- defaults (promise: parameters as declared) ---

FLAT = {"size": {"type": "integer", "default": 5}, "zone": {"default": "a"}, "name": {"type": "string"}}


@pytest.mark.parametrize("schema", [FLAT, {"type": "object", "properties": FLAT, "required": ["name"]}])
def test_defaults_fill_in_what_is_missing_or_null(deployment: Deployment, schema: Any) -> None:
    document = echo(deployment, {"zone": None, "name": "x"}, param_schema=schema)
    assert json.loads(document) == {"size": 5, "zone": "a", "name": "x"}


def test_a_given_value_wins_over_the_default_even_when_it_is_falsy(deployment: Deployment) -> None:
    document = echo(deployment, {"size": 0, "zone": ""}, param_schema=FLAT)
    assert json.loads(document) == {"size": 0, "zone": ""}


def test_the_row_keeps_the_configuration_as_it_was_asked_for(deployment: Deployment) -> None:
    deployment.add_action("parameters.defaults", ":\n", param_schema=FLAT)
    assert deployment.run("parameters.defaults", {"name": "x"}).config == {"name": "x"}


# --- too large, unknown, unread ---


@pytest.fixture(scope="module")
def strict(deployment: Deployment) -> Iterator[AgentProcess]:
    """An agent that takes no more than a hundred bytes of parameters."""
    with deployment.another_agent("strict", ATTUNE__WORKER__MAX_PARAMETER_BYTES="100") as agent:
        yield agent


def test_parameters_beyond_the_limit_are_refused(deployment: Deployment, strict: AgentProcess) -> None:
    deployment.add_action("parameters.limited", "cat\n")
    fits = {"text": "x" * (100 - len('{"text":""}'))}
    assert deployment.run("parameters.limited", fits, worker=strict.worker_id).status == "completed"
    done = deployment.run("parameters.limited", {"text": fits["text"] + "y"}, worker=strict.worker_id)
    assert (done.status, done.result["cause"]) == ("failed", "invalid")
    assert done.result["error"] == (
        "Failed to prepare execution context: the parameters take 101 bytes as json, more than the 100 that are allowed"
        " (pass large data by file or artifact, or raise worker.max_parameter_bytes)"
    )


@pytest.mark.parametrize("column", ["parameter_format", "parameter_delivery"])
def test_a_format_or_delivery_of_a_later_version_is_refused(deployment: Deployment, column: str) -> None:
    deployment.database.execute(f"ALTER TABLE action DROP CONSTRAINT action_{column}_check")
    ref = f"parameters.later_{column}"
    deployment.add_action(ref, "cat\n", **{column: "toml"})
    done = deployment.run(ref)
    assert (done.status, done.result["cause"]) == ("failed", "invalid")
    assert "'toml'" in done.result["error"]


def test_a_name_that_a_shell_would_run_is_refused(deployment: Deployment) -> None:
    deployment.add_action("parameters.injected", "cat\n", parameter_format="dotenv")
    done = deployment.run("parameters.injected", {"x$(touch /tmp/pwned)": 1})
    assert (done.status, done.result["cause"]) == ("failed", "invalid")


def test_a_megabyte_arrives_although_the_child_writes_before_it_reads(deployment: Deployment) -> None:
    deployment.add_action("parameters.large", "head -c 300000 /dev/zero >&2; wc -c\n")
    done = deployment.run("parameters.large", {"text": "x" * 1_000_000})
    assert done.result["stdout"].strip() == str(1_000_000 + len('{"text":""}\n'))


def test_a_child_need_not_read_its_parameters(deployment: Deployment) -> None:
    deployment.add_action("parameters.unread", "exec <&-; echo fine\n")
    done = deployment.run("parameters.unread", {"text": "x" * 500_000})
    assert (done.status, done.result["stdout"]) == ("completed", "fine\n")
