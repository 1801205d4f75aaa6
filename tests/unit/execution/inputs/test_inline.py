"""Inline scripts: the command that runs them, and the variables that carry parameters into them."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import InvalidExecution
from agent.execution.inputs.inline import InlinePlan, identifier, plan_inline, with_helpers
from agent.runtimes.model import InlineExecution

DIRECT = InlineExecution()
FILE = InlineExecution("temp_file", ".sh")
HELPERS = InlineExecution("temp_file", ".sh", inject_shell_helpers=True)


def plan(inline: InlineExecution, code: str = "echo hi", *, writable: bool = True, **parameters: Any) -> InlinePlan:
    return plan_inline(code, ("/bin/bash", "-x"), inline, parameters, writable=writable)


def test_the_direct_strategy_passes_the_text_and_no_interpreter_arguments() -> None:
    assert plan(DIRECT) == InlinePlan(("/bin/bash", "-c", "echo hi"))


def test_a_temporary_file_holds_the_text_and_keeps_the_arguments() -> None:
    assert plan(FILE) == InlinePlan(("/bin/bash", "-x"), "echo hi", ".sh")


@pytest.mark.parametrize(("extension", "suffix"), [(None, ""), ("", ""), ("sh", ".sh"), (".bash", ".bash")])
def test_the_extension_may_come_without_its_dot(extension: str | None, suffix: str) -> None:
    assert plan(InlineExecution("temp_file", extension)).suffix == suffix


def test_helpers_put_parameters_into_the_file_and_leave_standard_input_empty() -> None:
    made = plan(HELPERS, "echo $name", name="it's", **{"db.host": "h", "n": 3, "t": True, "z": None, "l": [1]})
    assert made.argv == ("/bin/bash", "-x")
    assert made.stdin == b""
    assert made.content == "\n".join(
        (
            "#!/bin/bash",
            "set -e",
            "PARAM_NAME='it'\\''s'",
            "name='it'\\''s'",
            "PARAM_DB_HOST='h'",
            "db_host='h'",
            "PARAM_N='3'",
            "n='3'",
            "PARAM_T='true'",
            "t='true'",
            "PARAM_Z='null'",
            "z='null'",
            "PARAM_L='[1]'",
            "l='[1]'",
            "echo $name",
        )
    )


@pytest.mark.parametrize(
    ("shell", "first"),
    [("/bin/bash", "#!/bin/bash"), ("bash", "#!/bin/bash"), ("/bin/sh", "#!/bin/sh"), ("/bin/busybox", "#!/bin/sh")],
)
def test_only_bash_is_called_bash(shell: str, first: str) -> None:
    assert with_helpers("", {}, shell=shell).splitlines()[0] == first


def test_without_a_writable_place_text_without_parameters_becomes_an_argument() -> None:
    assert plan(FILE, writable=False, secret="hunter22") == InlinePlan(("/bin/bash", "-x", "-c", "echo hi"))


def test_without_a_writable_place_parameters_travel_by_standard_input_never_by_argument() -> None:
    made = plan(HELPERS, writable=False, password="hunter22")
    assert made.content is None
    assert not any("hunter22" in word for word in made.argv)
    assert made.stdin is not None
    assert b"password='hunter22'" in made.stdin


@pytest.mark.parametrize("inline", [DIRECT, FILE])
def test_text_too_long_for_an_argument_is_refused(inline: InlineExecution) -> None:
    assert plan(inline, "x" * (128 * 1024 - 1), writable=False).content is None
    with pytest.raises(InvalidExecution, match="128 KiB"):
        plan(inline, "x" * 128 * 1024, writable=False)
    assert plan(FILE, "x" * 128 * 1024).content is not None


def test_text_with_a_nul_character_is_refused() -> None:
    with pytest.raises(InvalidExecution, match="NUL"):
        plan(FILE, "echo \0")


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("name", "name"),
        ("a-b.c d", "a_b_c_d"),
        ("1st", "_st"),
        ("", "_"),
        ("é", "_"),
        ("_x", "_x"),
        ("a$(b)", "a__b_"),
        ("a\n", "a_"),
    ],
)
def test_names_become_identifiers(name: str, variable: str) -> None:
    assert identifier(name) == variable


@given(st.text())
def test_every_identifier_is_one_of_a_posix_shell(name: str) -> None:
    variable = identifier(name)
    assert variable.isascii()
    assert variable.isidentifier()


def test_variables_that_a_shell_refuses_to_set_are_reachable_by_their_prefix_only() -> None:
    assert with_helpers("", {"UID": "5"}, shell="sh").splitlines() == ["#!/bin/sh", "set -e", "PARAM_UID='5'"]


@given(st.dictionaries(st.text("abc_", min_size=1), st.text().filter(lambda text: "\0" not in text)))
def test_values_survive_the_quoting(parameters: dict[str, str]) -> None:
    words = shlex.split(with_helpers("", parameters, shell="sh").split("\n", 2)[2], posix=True)
    read = dict(word.split("=", 1) for word in words)
    assert {name: read[name] for name in parameters} == parameters


@pytest.mark.parametrize(
    "name", ["PATH", "IFS", "ENV", "BASH_ENV", "LD_PRELOAD", "PROMPT_COMMAND", "UID", "PYTHONPATH", "NODE_OPTIONS"]
)
def test_the_shells_own_variables_are_never_assigned(name: str) -> None:
    script = with_helpers("true", {name: "/evil"}, shell="/bin/bash")
    assert f"\n{name}=" not in script
    assert f"PARAM_{name}='/evil'" in script
