"""Reading a pack: what its values become, and that every problem is told with file, line and key."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import PackError
from agent.packs.complaints import Complaints
from agent.packs.components import read_action, read_sensor, read_trigger
from agent.packs.document import LARGEST_FILE, MOST_VALUES, parse_document, read_document
from agent.packs.manifest import read_manifest
from agent.packs.mapping_reader import MappingReader
from agent.packs.model import PackAction, Problem, Retention, WorkerRequirements
from agent.packs.parser import parse_pack, read_pack
from agent.packs.runtime_files import read_runtime
from agent.packs.scope import Scope
from tests.packs import BROKEN, COMPLETE, SHIPPED


def problems_of(text: str) -> list[str]:
    complaints = Complaints()
    document = parse_document(text, "file.yaml", complaints)
    if document.root is not None:
        document.value(document.root, "")
    return [str(problem) for problem in complaints.problems]


def action_from(directory: Path, text: str) -> tuple[PackAction | str | None, list[str], list[str]]:
    complaints = Complaints()
    document = parse_document(text, "actions/a.yaml", complaints)
    action = read_action(MappingReader(document, document.root), Scope(directory, "sample")) if document.root else None
    return action, [str(one) for one in complaints.problems], [str(one) for one in complaints.warnings]


def test_all_problems_of_a_broken_pack_are_told_at_once_each_with_file_line_and_key() -> None:
    parsed = parse_pack(BROKEN)

    assert parsed.pack is None
    assert [str(problem) for problem in parsed.problems] == (BROKEN / "problems.txt").read_text().splitlines()


def test_an_unknown_key_is_a_warning_that_names_the_nearest_known_one() -> None:
    warnings = [str(warning) for warning in parse_pack(BROKEN).warnings]

    assert warnings == (BROKEN / "warnings.txt").read_text().splitlines()


def test_a_pack_error_lists_every_problem() -> None:
    with pytest.raises(PackError) as caught:
        read_pack(BROKEN)

    for line in (BROKEN / "problems.txt").read_text().splitlines():
        assert line in str(caught.value)


def test_a_complete_pack_has_no_problem_and_nothing_is_left_out() -> None:
    parsed = parse_pack(COMPLETE)

    assert parsed.problems == ()
    assert parsed.warnings == ()


def test_every_key_of_an_action_reaches_its_value() -> None:
    pack = read_pack(COMPLETE)
    greet = pack.actions[0]

    assert greet == PackAction(
        ref="complete.greet",
        label="Greet",
        runner_type="lua",
        entrypoint="greet.lua",
        source="actions/greet.yaml",
        runner_line=4,
        description="Greets somebody",
        param_schema={
            "name": {"type": "string", "description": "Whom", "default": "World", "required": False},
            "token": {"type": "string", "secret": True},
        },
        out_schema={"type": "object", "properties": {"greeting": {"type": "string"}}, "required": ["greeting"]},
        parameter_delivery="file",
        parameter_format="yaml",
        output_format="jsonl",
        timeout_seconds=20,
        max_retries=2,
        runtime_version_constraint=">=5.3,<6",
        required_worker_runtimes={"python": ">=3.11", "git": "*"},
        accesses_mcp=True,
        permission_set_refs=("standard",),
        placement=WorkerRequirements(
            selector={"zone": "north"},
            tolerations=({"key": "gpu", "operator": "exists", "effect": "no_schedule"},),
            affinity={
                "required": [{"match_labels": {"disk": "ssd"}}],
                "preferred": [
                    {
                        "weight": 50,
                        "preference": {
                            "match_expressions": [{"key": "zone", "operator": "in", "values": ["north", "south"]}]
                        },
                    }
                ],
                "anti_affinity": [{"match_expressions": [{"key": "spot", "operator": "exists"}]}],
            },
        ),
        retention=Retention(log_policy="versions", log_limit=4, artifact_policy="days", artifact_limit=2),
    )


def test_every_key_of_the_other_parts_reaches_its_value() -> None:
    pack = read_pack(COMPLETE)
    (runtime,), (sensor,), (trigger,) = pack.runtimes, pack.sensors, pack.triggers

    assert (pack.manifest.version, pack.manifest.config) == ("2.1.0-rc.1", {"region": "north", "retries": 3})
    assert (runtime.name, runtime.aliases) == ("Lua", ("lua", "lua5"))
    assert [version.version for version in runtime.versions or ()] == ["5.3", "5.4"]
    assert (runtime.versions or ())[1].meta == {"eol": "2030-01-01"}
    assert (sensor.runner_type, sensor.enabled, sensor.triggers) == ("native", False, ("complete.seen",))
    assert trigger.out_schema == {"what": {"type": "string"}}


def test_text_of_a_shell_action_is_its_script() -> None:
    inline = read_pack(COMPLETE).actions[1]

    assert inline.entrypoint == 'echo "one"\necho "two"\n'


@pytest.mark.parametrize("name", ["core", "examples", "libraries"])
def test_the_packs_that_ship_have_neither_problems_nor_warnings(name: str) -> None:
    parsed = parse_pack(SHIPPED / name)

    assert (parsed.problems, parsed.warnings) == ((), ())


def test_a_directory_without_a_manifest_is_no_pack(tmp_path: Path) -> None:
    problems = parse_pack(tmp_path).problems

    assert problems == (Problem("pack.yaml", 1, "", "can't be read: No such file or directory"),)


def test_a_path_that_is_no_directory_is_no_pack(tmp_path: Path) -> None:
    assert "is not a directory" in str(parse_pack(tmp_path / "nowhere").problems[0])


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("runner_type: core.sensor.builtin\nentry_point: timer\nconfig: {reload: self}\n", []),
        (
            "runner_type: core.sensor.builtin\nentry_point: clock.py\n",
            ["entry_point: with the runtime core.sensor.builtin it names a program of ours: timer"],
        ),
        # The alias means native, as it does everywhere.
        ("runner_type: builtin\nentry_point: timer\n", ["entry_point: there is no file sensors/timer"]),
        (
            "runner_type: core.sensor.builtin\nentry_point: timer\nconfig: {reload: never}\n",
            ["config: reload must be one of restart, self"],
        ),
    ],
    ids=["timer", "a file", "the alias", "reload"],
)
def test_a_sensor_that_is_part_of_the_program_needs_no_file(tmp_path: Path, lines: str, says: list[str]) -> None:
    (tmp_path / "sensors").mkdir()
    (tmp_path / "pack.yaml").write_text("ref: watch\nname: Watch\nversion: 1.0.0\n")
    (tmp_path / "sensors" / "x.yaml").write_text(f"ref: watch.x\n{lines}")
    parsed = parse_pack(tmp_path, read_pack(SHIPPED / "core").runtimes)
    assert [f"{one.key}: {one.message}" for one in parsed.problems] == says


def test_a_workflow_is_left_to_others_and_not_forgotten(tmp_path: Path) -> None:
    shutil.copytree(COMPLETE, tmp_path / "complete")
    flow = tmp_path / "complete" / "actions" / "flow.yaml"
    flow.write_text("ref: complete.flow\nworkflow_file: flow.yaml\n")

    parsed = parse_pack(tmp_path / "complete")

    assert parsed.pack is not None
    assert parsed.pack.unread == ("complete.flow",)


def test_a_symbolic_link_out_of_the_pack_is_no_entrypoint(tmp_path: Path) -> None:
    (tmp_path / "sample" / "actions").mkdir(parents=True)
    (tmp_path / "secret.sh").write_text("#!/bin/sh\n")
    (tmp_path / "sample" / "actions" / "link.sh").symlink_to("../../secret.sh")

    _, problems, _ = action_from(tmp_path / "sample", "ref: sample.link\nrunner_type: shell\nentry_point: link.sh\n")

    assert problems == ["actions/a.yaml:3: entry_point: link.sh lies outside the pack"]


@pytest.mark.parametrize("spelling", ["python", "Python3", "core.python", "golang", "r", "bash", "builtin"])
def test_names_aliases_and_refs_of_the_core_runtimes_are_known(tmp_path: Path, spelling: str) -> None:
    (tmp_path / "actions").mkdir()
    (tmp_path / "actions" / "a.py").touch(mode=0o755)
    runtimes = read_pack(SHIPPED / "core").runtimes
    complaints = Complaints()
    document = parse_document(f"ref: sample.a\nrunner_type: {spelling}\nentry_point: a.py\n", "a.yaml", complaints)
    assert document.root is not None

    read_action(MappingReader(document, document.root), Scope(tmp_path, "sample", runtimes))

    assert complaints.problems == ()


def test_a_default_must_fit_its_type_and_true_is_no_number(tmp_path: Path) -> None:
    text = "ref: sample.a\nrunner_type: shell\nentry_point: echo\nparameters:\n  n: {type: integer, default: true}\n"

    _, problems, _ = action_from(tmp_path, text)

    assert problems == ["actions/a.yaml:5: parameters.n.default: True is not of type integer"]


def test_parameters_may_be_called_type_and_properties(tmp_path: Path) -> None:
    text = (
        "ref: sample.a\nrunner_type: shell\nentry_point: echo\nparameters:\n  type: {type: string}\n"
        "  properties: {type: object, required: true}\n"
    )

    action, problems, warnings = action_from(tmp_path, text)

    assert (problems, warnings) == ([], [])
    assert isinstance(action, PackAction)
    assert set(action.param_schema or {}) == {"type", "properties"}


def test_aliases_that_expand_to_millions_of_values_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]

    (problem,) = problems_of("\n".join(lines))

    assert f"expands to more than {MOST_VALUES} values" in problem


def test_merges_that_double_themselves_are_refused() -> None:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], k{n}: 1}}" for n in range(1, 40)]

    assert problems_of("\n".join(lines)) != []


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}", "&a {<<: *a}", "x: " + "[" * 600])
def test_a_value_that_contains_itself_or_is_very_deep_is_refused(text: str) -> None:
    assert problems_of(text) != []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: 1\nb: 2\na: 3", "file.yaml:3: a: is defined twice; the first definition is in line 1"),
        ("? [x, y]\n: 1", "file.yaml:1: a key must be a single word or number"),
        ("a: !!binary aGk=", "file.yaml:1: a: a value of type binary is not allowed"),
        ("a: !secret x", "file.yaml:1: a: a value of type !secret is not allowed"),
        ("a: !!int x", "file.yaml:1: a: can't be read: invalid literal for int() with base 10: 'x'"),
        ('a: "x\\0y"', "file.yaml:1: a: holds characters that the database can't store"),
        ('a: "\\ud800"', "file.yaml:1: a: holds characters that the database can't store"),
        ("a: .inf", "file.yaml:1: a: is .inf, which JSON can't express"),
        ("a:\n\t- 1", "file.yaml:2: is not YAML: found character '\\t' that cannot start any token"),
        ("a: 1\n---\nb: 2", "file.yaml:2: is not YAML: but found another document"),
        ("", "file.yaml:1: must be a mapping of keys to values"),
        ("- 1", "file.yaml:1: must be a mapping of keys to values"),
    ],
)
def test_what_json_or_the_database_cannot_hold_is_refused_where_it_stands(text: str, complaint: str) -> None:
    assert problems_of(text) == [complaint]


def test_dates_and_odd_keys_stay_what_the_author_wrote() -> None:
    complaints = Complaints()
    document = parse_document("{on: 2024-01-02, 1: yes, x: 0x10}", "file.yaml", complaints)
    assert document.root is not None

    assert document.value(document.root, "") == {"on": "2024-01-02", "1": True, "x": 16}


def test_a_merge_adds_what_is_missing() -> None:
    complaints = Complaints()
    document = parse_document("base: &b {x: 1, y: 2}\nmore: {<<: *b, y: 3}", "file.yaml", complaints)
    assert document.root is not None

    assert document.value(document.root, "")["more"] == {"y": 3, "x": 1}


def test_a_file_that_is_too_large_or_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_text("a: " + "x" * LARGEST_FILE)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    complaints = Complaints()

    read_document(tmp_path, "large.yaml", complaints)
    read_document(tmp_path, "binary.yaml", complaints)

    assert [problem.message for problem in complaints.problems] == ["is not UTF-8 text", "is larger than 256 KiB"]


def test_a_problem_is_one_line_without_control_characters() -> None:
    text = str(Problem("a.yaml", 3, "k\x1b[2J", "two\nlines"))

    assert text == "a.yaml:3: k\\x1b[2J: two\\nlines"


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), st.dates(), st.binary(max_size=4)
)
_TOP = ("ref", "label", "version", "versions", "runner_type", "entry_point", "parameters", "config", "tags", "aliases")
_PLACEMENT = ("worker_affinity", "worker_selector", "worker_tolerations", "preferred", "preference", "match_labels")
_INNER = ("default", "type", "enum", "properties", "key", "values", "match_expressions", "interpreter", "trigger_types")
KEYS = st.sampled_from((*_TOP, *_PLACEMENT, *_INNER, "required_worker_runtimes", "execution_config"))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
DOCUMENTS = st.dictionaries(KEYS | st.text(max_size=8), VALUES, max_size=8)


def read_everything(text: str, directory: Path) -> None:
    """Read a text as every kind of file there is."""
    complaints = Complaints()
    document = parse_document(text, "file.yaml", complaints)
    if document.root is not None:
        fields = MappingReader(document, document.root)
        scope = Scope(directory, "sample")
        for read in (read_action, read_sensor, read_trigger):
            read(fields, scope)
        read_manifest(fields)
        read_runtime(fields, "sample")
    for problem in (*complaints.problems, *complaints.warnings):
        assert problem.line >= 1
        assert "\n" not in str(problem)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(DOCUMENTS)
def test_no_value_in_any_place_breaks_the_parser(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    read_everything(yaml.dump(value, allow_unicode=True), tmp_path_factory.getbasetemp())


@given(st.text(alphabet=st.sampled_from("ab:- \n[]{}&*!<>|\"'#%@,?~0.\t\\"), max_size=60))
def test_no_text_breaks_the_parser(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    read_everything(text, tmp_path_factory.getbasetemp())


@pytest.mark.parametrize("constraint", ["==3.12", "3.12 || 3.13", ">=3.12 <4", "~=3.12"])
def test_warns_of_a_constraint_that_only_our_programs_understand(tmp_path: Path, constraint: str) -> None:
    text = f"ref: sample.a\nrunner_type: shell\nentry_point: echo\nruntime_version: '{constraint}'\n"
    action, problems, warnings = action_from(tmp_path, text)

    assert isinstance(action, PackAction) and action.runtime_version_constraint == constraint
    assert not problems
    assert len(warnings) == 1 and "Attune's own executor fails the action" in warnings[0]
