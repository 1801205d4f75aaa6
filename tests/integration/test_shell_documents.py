"""What real shells make of dotenv documents and of inline scripts with helpers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.execution.inputs.dotenv import to_dotenv
from agent.execution.inputs.inline import plan_inline
from agent.runtimes.model import InlineExecution
from tests.services.availability import unavailable

HELPERS = InlineExecution("temp_file", ".sh", inject_shell_helpers=True)
AWKWARD = {
    "plain": "word",
    "quotes": "it's \"quoted\" 'twice'",
    "code": "$(touch /tmp/pwned) `id` ${HOME} \\n !! ~ *",
    "lines": "one\ntwo\n\nthree",
    "empty": "",
    "tail": "ends with newlines\n\n",
    "unicode": "ключ 鍵",
    "equals": "a=b=c",
}

# A carriage return or a lone surrogate has no meaning of its own to a shell; NUL can't be in a variable.
values = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=["sh", "bash", "busybox sh"])
def shell(request: pytest.FixtureRequest) -> list[str]:
    """One shell's command."""
    program, *arguments = request.param.split()
    path = shutil.which(program)
    if path is None:
        unavailable(program, f"install {program}")
    return [path, *arguments]


def run(argv: list[str], stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        argv, input=stdin, capture_output=True, timeout=20, check=False, env={"PATH": "/usr/bin:/bin"}
    )


def shown(names: list[str]) -> str:
    """A command that prints variables with NUL characters between them."""
    return "printf '%s\\0' " + " ".join(f'"${name}"' for name in names)


def sourced(shell: list[str], parameters: dict[str, str]) -> list[str]:
    done = run([*shell, "-c", f". /dev/stdin; {shown(list(parameters))}"], to_dotenv(parameters).encode() + b"\n")
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().split("\0")[:-1]


def test_a_shell_that_sources_a_dotenv_document_has_every_value(shell: list[str]) -> None:
    assert sourced(shell, AWKWARD) == list(AWKWARD.values())


@given(text=values)
@quick
def test_any_text_survives_dotenv_and_a_shell(shell: list[str], text: str) -> None:
    assert sourced(shell, {"value": text}) == [text]


def run_inline(
    shell: list[str], code: str, parameters: dict[str, str], directory: Path | None
) -> subprocess.CompletedProcess[bytes]:
    """Run a script with helpers, from a file in ``directory`` or where nothing can be written."""
    plan = plan_inline(code, shell, HELPERS, parameters, writable=directory is not None)
    argv = list(plan.argv)
    if plan.content is not None:
        assert directory is not None
        file = directory / f"exec_1{plan.suffix}"
        file.write_text(plan.content, newline="")
        argv.append(str(file))
    assert plan.stdin is not None
    return run(argv, plan.stdin)


@pytest.fixture(params=[True, False], ids=["from a file", "nothing writable"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """Where a script can be written, None for nowhere."""
    return tmp_path if request.param else None


def test_inline_scripts_know_their_parameters_by_both_names(shell: list[str], directory: Path | None) -> None:
    code = shown([*AWKWARD, *(f"PARAM_{name.upper()}" for name in AWKWARD)])
    done = run_inline(shell, code, AWKWARD, directory)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().split("\0")[:-1] == [*AWKWARD.values(), *AWKWARD.values()]


@given(text=values)
@quick
def test_any_text_survives_an_inline_script(shell: list[str], directory: Path | None, text: str) -> None:
    done = run_inline(shell, shown(["value"]), {"value": text}, directory)
    assert done.stdout.decode() == text + "\0"


def test_inline_scripts_stop_at_the_first_error(shell: list[str], directory: Path | None) -> None:
    done = run_inline(shell, "echo before\nfalse\necho after", {}, directory)
    assert done.returncode == 1
    assert done.stdout == b"before\n"


def test_inline_scripts_find_their_standard_input_empty(shell: list[str], directory: Path | None) -> None:
    done = run_inline(shell, "cat\necho done", {"a": "1"}, directory)
    assert done.stdout == b"done\n"


def test_parameters_of_inline_scripts_are_not_in_the_environment_of_their_children(
    shell: list[str], directory: Path | None
) -> None:
    done = run_inline(shell, "env", {"password": "hunter22"}, directory)
    assert b"PATH=" in done.stdout
    assert b"hunter22" not in done.stdout


def test_inline_scripts_may_have_parameters_named_like_what_a_shell_keeps_for_itself(
    shell: list[str], directory: Path | None
) -> None:
    kept = dict.fromkeys(("UID", "EUID", "PPID", "OPTIND", "SHELLOPTS", "BASHOPTS", "BASH_VERSINFO"), "x")
    done = run_inline(shell, 'echo "$PARAM_UID$PARAM_OPTIND"', kept, directory)
    assert done.stdout == b"xx\n", done.stderr


def test_without_cat_a_script_from_standard_input_fails_instead_of_doing_nothing(shell: list[str]) -> None:
    plan = plan_inline("echo ran", shell, HELPERS, {}, writable=False)
    assert plan.stdin is not None
    done = subprocess.run(
        plan.argv, input=plan.stdin, capture_output=True, timeout=20, check=False, env={"PATH": "/none"}
    )
    assert (done.returncode, done.stdout) in ((127, b""), (0, b"ran\n"))  # busybox has cat built in
