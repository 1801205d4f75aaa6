"""A form made of a schema, and what comes back."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from agent.control.parameter_values import ParameterSchema
from agent.server.page.execution import command_lines, masked
from agent.server.page.forms import fields_of, read_form

SCHEMA = ParameterSchema.of(
    {
        "count": {"type": "integer", "default": 3, "minimum": 1},
        "name": {"type": "string", "required": True},
        "mode": {"type": "string", "enum": ["a", "b"]},
        "token": {"type": "string", "secret": True},
        "tags": {"type": "array"},
        "loud": {"type": "boolean", "default": True},
    }
)


def test_required_fields_come_first_and_each_has_the_control_of_its_type() -> None:
    fields = fields_of(SCHEMA, None, {})
    assert fields[0].name == "name"
    kinds = {field.name: field.control for field in fields}
    assert kinds == {
        "name": "text", "count": "number", "mode": "radio", "token": "password", "tags": "json", "loud": "checkbox"
    }  # fmt: skip
    assert {field.name: field.value for field in fields}["count"] == "3"


@pytest.mark.parametrize(
    ("sent", "parameters"),
    [
        ({"p.name": "x", "p.count": "7", "p.tags": "[1]"}, {"name": "x", "count": 7, "tags": [1], "loud": False}),
        ({"p.name": "x", "p.count": " ", "p.loud": "true"}, {"name": "x", "loud": True}),
        ({"p.name": "x", "json": '{"mode": "b"}'}, {"name": "x", "mode": "b", "loud": False}),
    ],
)
def test_values_have_the_declared_type_and_what_is_empty_is_not_sent(
    sent: dict[str, str], parameters: dict[str, Any]
) -> None:
    filled = read_form(SCHEMA, sent)
    assert filled.problems == {}
    assert filled.parameters == parameters


@pytest.mark.parametrize(
    ("sent", "name", "problem"),
    [
        ({}, "name", "name is required"),
        ({"p.name": "x", "p.count": "many"}, "count", "count must be a whole number"),
        ({"p.name": "x", "p.count": "0"}, "count", "count must be at least 1"),
        ({"p.name": "x", "p.tags": "[" * 1000}, "tags", "tags must be a JSON list"),
        ({"p.name": "x", "p.mode": "z"}, "mode", "mode must be one of a, b"),
        ({"p.name": "x", "json": "[]"}, "json", "must be a JSON object"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(sent: dict[str, str], name: str, problem: str) -> None:
    assert problem in read_form(SCHEMA, sent).problems[name]


def test_a_refused_form_keeps_what_was_typed_but_no_secret() -> None:
    values = {one.name: one.value for one in fields_of(SCHEMA, {"p.count": "many", "p.token": "s3cret"}, {})}
    assert values["count"] == "many"
    assert values["token"] == ""


def test_secrets_are_variables_in_the_commands_and_masked_in_the_page() -> None:
    run, curl = command_lines("a.b", {"name": "it's", "token": "s3cret"}, SCHEMA.secrets, "http://x")
    assert "s3cret" not in run + curl
    assert 'token="${TOKEN}"' in run
    assert masked({"token": "s3cret", "name": "x"}, SCHEMA.secrets) == {"token": "[redacted]", "name": "x"}


def test_names_of_parameters_run_nothing_in_the_shell_that_a_command_is_copied_to() -> None:
    secret, other = "$(echo ran)`echo ran`\"'", "$(echo ran);echo ran"
    lines = command_lines("a.b", {secret: "s3cret", other: "x"}, frozenset((secret,)), "http://x")
    for program, line in zip(("attune", "curl"), lines, strict=True):
        script = f'{program}() {{ printf "%s\\n" "$@"; }}\n{line}\n'
        shown = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
        assert other in shown.stdout
        assert "ran" not in shown.stdout.split("\n")
        assert not shown.stderr
