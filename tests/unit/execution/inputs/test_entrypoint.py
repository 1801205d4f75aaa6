"""Entrypoints: a file of the pack, or for shell actions the script itself; nothing outside the pack."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import InvalidExecution
from agent.execution.inputs.entrypoint import Inline, Script, resolve_entrypoint
from agent.execution.model import Action


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A pack with files, links that stay inside and links that lead out."""
    pack = tmp_path / "packs" / "ops"
    (pack / "actions" / "deep").mkdir(parents=True)
    (pack / "lib").mkdir()
    (tmp_path / "outside.sh").write_text("echo outside")
    for name in ("actions/rotate.sh", "actions/deep/run.py", "actions/plain", "actions/my script.py", "lib/shared.sh"):
        (pack / name).write_text("echo inside")
    (pack / "actions" / "inner.sh").symlink_to("../lib/shared.sh")
    (pack / "actions" / "outer.sh").symlink_to(tmp_path / "outside.sh")
    (pack / "actions" / "outerplain").symlink_to(tmp_path / "outside.sh")
    (pack / "actions" / "way").symlink_to(tmp_path)
    (pack / "actions" / "loop.sh").symlink_to("loop.sh")
    os.mkfifo(pack / "actions" / "pipe.sh")
    return pack


def resolve(pack: Path, entrypoint: str, *, is_shell: bool = True, **changes: Any) -> Script | Inline:
    values: dict[str, Any] = {"id": 1, "ref": "ops.x", "pack": 2, "pack_ref": "ops", "entrypoint": entrypoint}
    return resolve_entrypoint(Action(**values | changes), str(pack), is_shell=is_shell)


@pytest.mark.parametrize("is_shell", [True, False])
@pytest.mark.parametrize(
    "entrypoint",
    [
        "rotate.sh",
        "deep/run.py",
        "plain",
        "./rotate.sh",
        "inner.sh",
        "../lib/shared.sh",
        "deep/../rotate.sh",
        "deep//run.py",
    ],
)
def test_a_file_of_the_pack_is_run_under_the_name_that_was_given(pack: Path, entrypoint: str, is_shell: bool) -> None:
    assert resolve(pack, entrypoint, is_shell=is_shell) == Script(f"{pack}/actions/{entrypoint}")


def test_an_absolute_path_into_the_pack_is_a_file_of_the_pack(pack: Path) -> None:
    path = f"{pack}/actions/rotate.sh"
    assert resolve(pack, path) == Script(path)


def test_a_pack_directory_may_itself_be_reached_through_a_link(pack: Path, tmp_path: Path) -> None:
    link = tmp_path / "current"
    link.symlink_to(pack)
    assert resolve(link, "rotate.sh") == Script(f"{link}/actions/rotate.sh")
    assert resolve(link, "inner.sh") == Script(f"{link}/actions/inner.sh")


@pytest.mark.parametrize("is_shell", [True, False])
@pytest.mark.parametrize(
    "entrypoint", ["outer.sh", "outerplain", "way/outside.sh", "../../../outside.sh", "/bin/sh", "/etc/passwd"]
)
def test_what_lies_outside_the_pack_is_refused(pack: Path, entrypoint: str, is_shell: bool) -> None:
    with pytest.raises(InvalidExecution, match="lies outside its pack"):
        resolve(pack, entrypoint, is_shell=is_shell)


def test_a_pack_whose_name_begins_with_this_one_is_outside(pack: Path) -> None:
    other = pack.parent / "ops2" / "x.sh"
    other.parent.mkdir()
    other.write_text("")
    with pytest.raises(InvalidExecution, match="lies outside its pack"):
        resolve(pack, "../../ops2/x.sh")


@pytest.mark.parametrize("is_shell", [True, False])
@pytest.mark.parametrize("entrypoint", ["missing.sh", "deep/missing", "missing.py", "rotate.sh/x", "loop.sh"])
def test_a_missing_file_is_refused_by_name(pack: Path, entrypoint: str, is_shell: bool) -> None:
    with pytest.raises(InvalidExecution, match=r"of ops\.x does not exist") as caught:
        resolve(pack, entrypoint, is_shell=is_shell)
    assert entrypoint in str(caught.value)


@pytest.mark.parametrize("entrypoint", ["deep/", "deep/.", "pipe.sh", "../actions"])
def test_what_is_not_a_regular_file_is_refused(pack: Path, entrypoint: str) -> None:
    with pytest.raises(InvalidExecution, match=r"is not a regular file|does not exist"):
        resolve(pack, entrypoint)


@pytest.mark.parametrize(
    "text",
    [
        "uptime",
        "echo hello",
        "echo hello > out.sh",
        "/usr/bin/env python3 x.py",
        "cat <<EOF\n$name\nEOF\n",
        "echo hi\n" * 2000,
        "x" * 5000,
        "deep",
    ],
)
def test_any_other_text_of_a_shell_action_is_the_script(pack: Path, text: str) -> None:
    assert resolve(pack, text) == Inline(text)


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_an_empty_script_is_refused(pack: Path, text: str) -> None:
    with pytest.raises(InvalidExecution, match="is empty"):
        resolve(pack, text)


@pytest.mark.parametrize("text", ["", "print('hi')", "import os\nprint(os)", "a\0b", "x" * 5000])
def test_only_shell_actions_can_be_text(pack: Path, text: str) -> None:
    with pytest.raises(InvalidExecution) as caught:
        resolve(pack, text, is_shell=False)
    assert len(str(caught.value)) < 300


def test_other_runtimes_may_have_white_space_in_the_name_of_a_file(pack: Path) -> None:
    assert resolve(pack, "my script.py", is_shell=False) == Script(f"{pack}/actions/my script.py")


@pytest.mark.parametrize("text", ["/usr/bin/uptime", "missing.sh", "uptime", "echo hi", "outer.sh"])
def test_an_ad_hoc_shell_action_is_text(pack: Path, text: str) -> None:
    assert resolve(pack, text, is_adhoc=True) == Inline(text)


def test_an_ad_hoc_action_may_name_a_file_of_its_pack(pack: Path) -> None:
    assert resolve(pack, "rotate.sh", is_adhoc=True) == Script(f"{pack}/actions/rotate.sh")
    assert resolve(pack, "deep/run.py", is_adhoc=True, is_shell=False) == Script(f"{pack}/actions/deep/run.py")


def test_in_the_core_pack_being_ad_hoc_makes_no_difference(pack: Path) -> None:
    with pytest.raises(InvalidExecution):
        resolve(pack, "/usr/bin/uptime", is_adhoc=True, pack_ref="core")


def check_confined(pack: Path, entrypoint: str, is_shell: bool) -> None:
    try:
        meaning = resolve(pack, entrypoint, is_shell=is_shell)
    except InvalidExecution:
        return
    if isinstance(meaning, Script):
        assert os.path.realpath(meaning.path).startswith(f"{os.path.realpath(pack)}/")


@given(st.text(), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_leads_out_of_the_pack_or_raises_anything_else(pack: Path, entrypoint: str, is_shell: bool) -> None:
    check_confined(pack, entrypoint, is_shell)


@given(
    st.lists(
        st.sampled_from(["..", ".", "", "way", "deep", "rotate.sh", "outer.sh", "packs", "ops", "outside.sh"]),
        max_size=6,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_path_leads_out_of_the_pack(pack: Path, parts: list[str]) -> None:
    check_confined(pack, "/".join(parts), is_shell=False)
