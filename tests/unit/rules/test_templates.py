"""Templates in a rule's parameters: types are kept, nothing is rendered twice, secrets go where secrets may be."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.rules.expression.values import ExpressionError
from agent.rules.templates import Source, fill, has_template, problem

VALUES: dict[str, Any] = {
    "event": {
        "id": 7,
        "trigger": "core.t",
        "payload": {"n": 3, "text": "{{ event.id }}", "items": [{"a": 1}], "none": None, "o": {"k": "v"}},
    },
    "pack": {"config": {"token": "hunter2", "open": "x", "nested": {"key": "s"}}},
    "system": {"timestamp": "2026-01-01T00:00:00Z", "rule": {"id": 1, "ref": "core.r"}},
}
SECRETS = frozenset({("pack", "config", "token"), ("pack", "config", "nested", "key")})
SOURCE = Source(VALUES, SECRETS)


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ event.payload.n }}", 3),
        ("{{event.payload.o}}", {"k": "v"}),
        ("{{ event.payload.items.0.a }}", 1),
        ("{{ event.payload.items.9.a }}", None),
        ("{{ event.payload.missing }}", None),
        ("{{ event.payload.text }}", "{{ event.id }}"),
        ("n={{ event.payload.n }} o={{ event.payload.o }}", 'n=3 o={"k":"v"}'),
        ("[{{ event.payload.missing }}][{{ event.payload.none }}]", "[][]"),
        ("{{ event.payload.text }}!", "{{ event.id }}!"),
        ("{{ system.rule.ref }} {{ system.timestamp }}", "core.r 2026-01-01T00:00:00Z"),
        ("{{ pack.config.open }}", "x"),
        ("plain", "plain"),
        ("{ { no } }", "{ { no } }"),
        (5, 5),
        (None, None),
    ],
)
def test_what_templates_become(template: Any, value: Any) -> None:
    assert fill({"p": [template]}, SOURCE).parameters == {"p": [value]}


@pytest.mark.parametrize("template", ["{{ pack.config.token }}", "x {{ pack.config.token }}", "{{ pack.config }}"])
def test_a_secret_goes_only_to_a_secret_parameter(template: str) -> None:
    with pytest.raises(ExpressionError, match="secret") as caught:
        fill({"p": template}, SOURCE, [("q",)])
    assert caught.value.path.startswith("pack.config")
    assert "hunter2" not in str(caught.value)
    assert fill({"q": template}, SOURCE, [("q",)]).secret_paths == [("q",)]
    assert fill({"q": {"deep": template}}, SOURCE, [("q",)]).secret_paths == [("q", "deep")]


@pytest.mark.parametrize("expression", ["keystore.x", "event", "event.secret", "pack.other", "system.env", "event..x"])
def test_a_path_that_there_can_not_be_is_refused(expression: str) -> None:
    parameters = {"a": [{"b": f"{{{{ {expression} }}}}"}]}
    said = problem(parameters)
    assert said is not None
    assert said.startswith("action_params.a.0.b:")
    with pytest.raises(ExpressionError):
        fill(parameters, SOURCE)


def test_what_comes_out_is_limited() -> None:
    big = Source({"event": {"payload": {"big": "x" * 1_000_000}}})
    assert fill({"p": "{{ event.payload.big }}"}, big).parameters["p"]
    with pytest.raises(ExpressionError, match="size"):
        fill({"p": ["{{ event.payload.big }}"] * 5}, big)
    deep: Any = "x"
    for _ in range(100):
        deep = [deep]
    with pytest.raises(ExpressionError, match="deep"):
        fill({"p": deep}, big)
    assert "deep" in (problem({"p": deep}) or "")


@pytest.mark.parametrize(
    "text", ["{{" + " " * 50_000, "{{" * 50_000, "{{ " * 50_000 + "}"], ids=["blanks", "braces", "both"]
)
def test_a_text_made_to_be_searched_for_long_is_read_once(text: str) -> None:
    begin = time.thread_time()
    assert not has_template(text)
    assert problem({"p": text}) is None
    assert fill({"p": text}, SOURCE).parameters == {"p": text}
    assert time.thread_time() - begin < 0.3


def test_braces_that_are_no_template_stay() -> None:
    text = "{{}} {{a} {{ event.id }} }} {{"
    assert fill({"p": text}, SOURCE).parameters == {"p": "{{}} {{a} 7 }} {{"}


def test_parameters_that_are_no_object_are_none() -> None:
    assert fill(["x"], SOURCE).parameters == {}


@given(st.text(max_size=50))
def test_what_an_event_brings_is_never_looked_at_again(text: str) -> None:
    found = fill({"whole": "{{ event.payload.t }}", "part": "<{{ event.payload.t }}>"},
                 Source({"event": {"payload": {"t": text}}, "pack": VALUES["pack"]}, SECRETS))  # fmt: skip
    assert found.parameters == {"whole": text, "part": f"<{text}>"}
    assert found.secret_paths == []


@given(st.text(max_size=80))
def test_what_may_be_saved_can_be_filled(text: str) -> None:
    if problem({"p": text}) is None:
        fill({"p": text}, Source(VALUES))
    else:
        assert has_template(text)
