"""The dotenv document: what a shell reads back is what was put in."""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import InvalidExecution
from agent.execution.inputs.dotenv import to_dotenv
from tests.unit.examples import examples

names = st.text(st.sampled_from("abcXYZ019_-.:/%é鍵"), min_size=1)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


def read_back(document: str) -> dict[str, str]:
    """Split the document as a POSIX shell splits words."""
    return dict(word.split("=", 1) for word in shlex.split(document, posix=True))


def seen_by_a_shell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize(
    ("parameters", "document"),
    [
        ({}, ""),
        ({"b": "two", "a": "one"}, "a='one'\nb='two'"),
        ({"text": "it's"}, "text='it'\\''s'"),
        ({"n": 1, "f": 2.5, "t": True, "z": None}, "f='2.5'\nn='1'\nt='true'\nz=''"),
        ({"db": {"host": "h", "opts": {"ssl": False}}}, "db.host='h'\ndb.opts.ssl='false'"),
        ({"empty": {}, "nested": {"empty": {}}}, ""),
        ({"list": [1, "a'b", {"k": None}]}, "list='[1,\"a'\\''b\",{\"k\":null}]'"),
        ({"lines": "a\nb"}, "lines='a\nb'"),
        ({"MiXed-case.kept": "ü"}, "MiXed-case.kept='ü'"),
        ({"Z": "", "a": "", "_": "", "é": ""}, "Z=''\n_=''\na=''\né=''"),
    ],
)
def test_documents_are_exactly_as_the_reference_writes_them(parameters: dict[str, Any], document: str) -> None:
    assert to_dotenv(parameters) == document


@given(st.dictionaries(names, scalars | st.lists(scalars)))
def test_a_shell_reads_back_every_value(parameters: dict[str, Any]) -> None:
    assert read_back(to_dotenv(parameters)) == {name: seen_by_a_shell(value) for name, value in parameters.items()}


@given(st.dictionaries(names, scalars))
def test_lines_are_sorted_by_their_bytes(parameters: dict[str, Any]) -> None:
    flat = dict.fromkeys(parameters, 1)
    lines = to_dotenv(flat).encode().split(b"\n")
    assert lines == sorted(lines)


@pytest.mark.parametrize(
    "name",
    ["", "a b", "a\nb", "a;reboot", "$(reboot)", "`reboot`", "a'b", 'a"b', "#a", "a|b", "a&b", "a<b", "a\\b", "a\0b"],
)
def test_a_name_that_a_shell_would_run_is_refused(name: str) -> None:
    with pytest.raises(InvalidExecution, match="can't be written in the dotenv format"):
        to_dotenv({name: "x"})
    with pytest.raises(InvalidExecution):
        to_dotenv({"a": {name: "x"}} if name else {"": {"": "x"}, "b\n": 1})


@pytest.mark.parametrize(
    "name",
    [
        "a[$(id)]",
        "a]",
        "x=y",
        "a b",
        "a*",
        "a?",
        "a{b}",
        "a!",
        "~a",
        "PATH",
        "IFS",
        "ENV",
        "BASH_ENV",
        "LD_PRELOAD",
        "PS4",
        "PYTHONPATH",
        "NODE_OPTIONS",
        "SHELLOPTS",
        "UID",
    ],
)
def test_a_name_that_a_shell_could_take_for_code_or_for_its_own_is_refused(name: str) -> None:
    with pytest.raises(InvalidExecution):
        to_dotenv({name: "x"})


@given(st.dictionaries(st.text(min_size=1, max_size=12), st.text(max_size=20), max_size=4))
@examples(60)
def test_whatever_is_written_a_shell_that_reads_it_runs_nothing(parameters: dict[str, str]) -> None:
    try:
        document = to_dotenv(parameters)
    except InvalidExecution:
        return
    if "\0" in document:
        return
    script = 'PATH=/nowhere; before=$PATH; . /dev/stdin 2>/dev/null; [ "$PATH" = "$before" ] && echo inert'
    done = subprocess.run(
        ["bash", "-c", script], input=document.encode("utf-8", "replace"), capture_output=True, check=False
    )
    assert done.stdout == b"inert\n"
