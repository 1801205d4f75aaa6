"""A value takes the type of its key, or is refused with everything that helps to find it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.configuration import load_settings
from agent.configuration.settings_table import fields, value_of
from agent.errors import ConfigurationError


def value(key: str, text: str) -> Any:
    """Return what the variable of ``key`` becomes."""
    loaded = load_settings({fields()[key].variable: text})
    assert loaded.sources[key] == fields()[key].variable
    return value_of(loaded.settings, key)


@pytest.mark.parametrize(
    "text", ["007", "3.10", "1e5", "true", "null", "{not json", "12345678901234567890123456789012"]
)
def test_a_string_stays_as_it_was_written(text: str) -> None:
    assert value("worker.name", text) == text


@pytest.mark.parametrize("text", ["007", "3.10", "1e5", "yes", "2020-01-01", "0x1f"])
def test_a_string_in_a_file_stays_as_it_was_written(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"worker:\n  name: {text}\n  labels: {{zone: {text}}}\n", encoding="utf-8")
    worker = load_settings({}, config=path).settings.worker
    assert (worker.name, worker.labels) == (text, {"zone": text})


@pytest.mark.parametrize("text", ["true", "TRUE", "yes", "on", "1", " True "])
def test_words_for_yes_are_true(text: str) -> None:
    assert value("worker.ephemeral", text) is True


@pytest.mark.parametrize("text", ["false", "no", "OFF", "0"])
def test_words_for_no_are_false(text: str) -> None:
    assert value("worker.ephemeral", text) is False


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("worker.max_concurrent_tasks", " 12 ", 12),
        ("worker.max_concurrent_tasks", "012", 12),
        ("worker.max_concurrent_tasks", "auto", "auto"),
        ("worker.heartbeat_interval", "2.5", 2.5),
        ("worker.heartbeat_interval", "10", 10.0),
        ("worker.port", "", None),
        ("log.level", "WARN", "warn"),
        ("packs_base_dir", "/p", Path("/p")),
        ("worker.labels", '{"a": "b", "n": 1, "t": true}', {"a": "b", "n": "1", "t": "true"}),
        ("worker.labels", "", {}),
        ("worker.capabilities", '{"gpu": {"count": 2}}', {"gpu": {"count": 2}}),
        ("worker.taints", '[{"key": "gpu"}]', ({"key": "gpu"},)),
        ("worker.taints", "", ()),
    ],
)
def test_a_variable_becomes_the_type_of_its_key(key: str, text: str, expected: Any) -> None:
    assert value(key, text) == expected


def test_map_entries_can_be_set_one_by_one_with_lower_cased_names() -> None:
    loaded = load_settings({"ATTUNE__WORKER__LABELS__FOO": "007", "ATTUNE__WORKER__LABELS": '{"bar": "x"}'})
    assert loaded.settings.worker.labels == {"foo": "007", "bar": "x"}
    assert loaded.sources["worker.labels"] == "ATTUNE__WORKER__LABELS, ATTUNE__WORKER__LABELS__FOO"


def test_a_map_entry_is_laid_over_the_map_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("worker: {labels: {a: file, b: file}}", encoding="utf-8")
    loaded = load_settings({"ATTUNE__WORKER__LABELS__B": "variable"}, config=path)
    assert loaded.settings.worker.labels == {"a": "file", "b": "variable"}
    assert load_settings({"ATTUNE__WORKER__LABELS": '{"c": "d"}'}, config=path).settings.worker.labels == {"c": "d"}


def test_free_form_entries_become_booleans_and_numbers_only_when_they_cant_be_mistaken() -> None:
    prefix = "ATTUNE__WORKER__CAPABILITIES__"
    texts = {"GPU": "true", "COUNT": "4", "VERSION": "3.10", "CODE": "007", "DEEP__ER": "x"}
    loaded = load_settings({prefix + name: text for name, text in texts.items()})
    expected = {"gpu": True, "count": 4, "version": "3.10", "code": "007", "deep": {"er": "x"}}
    assert loaded.settings.worker.capabilities == expected


@pytest.mark.parametrize("text", ["python, shell", '["python", "shell"]'])
def test_the_list_of_runtimes_accepts_commas_and_json(text: str) -> None:
    loaded = load_settings({"ATTUNE__WORKER__CAPABILITIES__RUNTIMES": text})
    assert loaded.settings.worker.capabilities["runtimes"] == ["python", "shell"]


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("worker.max_concurrent_tasks", "many", "must be a whole number or auto, not 'many'"),
        ("worker.max_concurrent_tasks", "1.5", "must be a whole number or auto"),
        ("worker.max_concurrent_tasks", "", "must be a whole number or auto"),
        ("worker.max_concurrent_tasks", "0", "must be greater than 0"),
        ("worker.max_concurrent_tasks", "٣", "must be a whole number or auto"),
        ("worker.task_timeout", "-1", "must be at least 0"),
        ("worker.shutdown_timeout", "1e10", "must be at most 315576000"),
        ("database.connect_timeout", "1e300", "must be at most 315576000"),
        ("worker.heartbeat_interval", "nan", "must be a number"),
        ("worker.heartbeat_interval", "inf", "must be a number"),
        ("worker.ephemeral", "maybe", "must be true or false"),
        ("log.level", "loud", "must be one of trace, debug, info, warn, error"),
        ("worker.labels", "a=b", "must be a map"),
        ("worker.labels", '{"a": ', "must be valid JSON"),
        ("worker.labels", '{"a": [1]}', "must be text"),
        ("worker.taints", "gpu", "must be a list"),
        ("packs_base_dir", "", "must be a path"),
        ("database.schema", "a;b", "must be 1 to 63 letters"),
        ("database.url", " ", "must not be empty"),
        ("database.url", "mysql://x/y", "must be a postgresql:// URL"),
        ("message_queue.url", "redis://x", "must be an amqp://"),
        ("server.port", "70000", "must be at most 65535"),
    ],
)
def test_a_wrong_value_is_refused_with_variable_key_and_expectation(key: str, text: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        value(key, text)
    message = str(caught.value)
    assert expected in message
    assert message.startswith(f"{fields()[key].variable}: {key} ")
    assert caught.value.exit_code == 2


def test_a_wrong_value_in_a_file_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("worker:\n  name: x\n  port: [1]\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"config\.yaml:3: worker\.port must be a whole number, not a list"):
        load_settings({}, config=path)


def test_a_secret_never_appears_in_a_complaint() -> None:
    with pytest.raises(ConfigurationError) as caught:
        value("security.encryption_key", "hunter2")
    assert "at least 32 characters; it has 7" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_secret_of_a_wrong_kind_is_not_shown_either(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("security: {jwt_secret: {a: hunter2}}", encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load_settings({}, config=path)
    assert "hunter2" not in str(caught.value)


@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), min_size=1))
def test_any_text_survives_as_a_string_or_counts_as_blank(text: str) -> None:
    loaded = load_settings({"ATTUNE__WORKER__NAME": text, "ATTUNE_WORKER_NAME": "blank"})
    assert loaded.settings.worker.name == (text if text.strip() else "blank")


def complaint_about(variable: str, text: str) -> ConfigurationError | None:
    """Return the error that a variable's value makes, if any."""
    try:
        load_settings({variable: text})
    except ConfigurationError as error:
        return error
    return None


@given(st.sampled_from([key for key in fields() if key != "environment"]), st.text())
def test_no_text_makes_anything_but_a_value_or_a_configuration_error(key: str, text: str) -> None:
    variable = fields()[key].variable
    complaint = complaint_about(variable, text)
    assert complaint is None or variable in str(complaint)
