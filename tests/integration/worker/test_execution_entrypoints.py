"""What an entrypoint may name, and which interpreter of which version runs it."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from tests.children.interpreters import write_program
from tests.services.deployment import Deployment, Execution

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

_NUMBERS = itertools.count()


def run(deployment: Deployment, entrypoint: str, script: str | None = None, config: Any = None, **columns: Any) -> Any:
    """Run an action with this entrypoint; its file is written when a script is given."""
    ref = f"entry.action_{next(_NUMBERS)}"
    deployment.add_action(ref, script, entrypoint=entrypoint, **columns)
    return deployment.run(ref, config)


def refused(done: Execution, words: str, cause: str = "invalid") -> bool:
    """Whether an execution was refused before any process was started, with these words."""
    assert done.status == "failed", done
    assert set(done.result) == {"succeeded", "error", "cause"}
    assert words in done.result["error"], done.result["error"]
    return bool(done.result["cause"] == cause)


# --- files (promise: entry points stay in the pack) ---


def test_a_file_in_a_folder_below_actions_runs(deployment: Deployment) -> None:
    assert run(deployment, "deep/er/file.sh", "echo deep\n").result["stdout"] == "deep\n"


def test_a_missing_file_is_named(deployment: Deployment) -> None:
    assert refused(run(deployment, "missing.sh"), "the entrypoint 'missing.sh' of entry.action_")


@pytest.mark.parametrize("entrypoint", ["../../elsewhere/actions/secret.sh", "/etc/hostname", "../" * 20 + "bin/ls"])
def test_a_path_that_leaves_the_pack_is_refused(deployment: Deployment, entrypoint: str) -> None:
    deployment.add_pack("elsewhere")
    deployment.write("elsewhere", "actions/secret.sh", "echo secret\n")
    assert refused(run(deployment, entrypoint), "lies outside its pack")


def test_a_path_that_comes_back_into_the_pack_runs(deployment: Deployment) -> None:
    deployment.write("entry", "lib/tool.sh", "echo tool\n")
    assert run(deployment, "../lib/tool.sh").result["stdout"] == "tool\n"


def test_a_link_inside_the_pack_runs_and_one_to_the_outside_is_refused(deployment: Deployment) -> None:
    deployment.add_pack("entry")
    deployment.write("entry", "lib/real.sh", "echo real\n")
    actions = deployment.packs / "entry" / "actions"
    (actions / "inside.sh").symlink_to("../lib/real.sh")
    outside = deployment.directory / "outside.sh"
    outside.write_text("echo outside\n")
    (actions / "outside.sh").symlink_to(outside)
    assert run(deployment, "inside.sh").result["stdout"] == "real\n"
    assert refused(run(deployment, "outside.sh"), "lies outside its pack")


def test_a_link_to_a_folder_outside_is_refused(deployment: Deployment) -> None:
    deployment.add_pack("entry")
    (deployment.packs / "entry" / "actions" / "folder").symlink_to("/etc")
    assert refused(run(deployment, "folder/hostname"), "lies outside its pack")


def test_neither_a_folder_nor_a_pipe_is_a_script(deployment: Deployment) -> None:
    deployment.add_pack("entry")
    actions = deployment.packs / "entry" / "actions"
    (actions / "folder.sh").mkdir()
    os.mkfifo(actions / "pipe.sh")
    assert refused(run(deployment, "folder.sh"), "is not a regular file")
    assert refused(run(deployment, "pipe.sh"), "is not a regular file")


def test_a_pack_whose_files_are_missing_fails_clearly(deployment: Deployment) -> None:
    deployment.add_action("absent.action", None, entrypoint="action.sh")
    (deployment.packs / "absent" / "actions").rmdir()
    (deployment.packs / "absent").rmdir()
    assert refused(deployment.run("absent.action"), "does not exist")


def test_only_shell_actions_are_text(deployment: Deployment) -> None:
    assert refused(run(deployment, "print('hello')", runtime="core.native"), "does not exist")


# --- text of shell actions ---


def test_an_inline_script_gets_its_parameters_as_variables(deployment: Deployment) -> None:
    script = 'echo "$name:$PARAM_NAME:$a_b:$_count"; cat | wc -c'
    config = {"name": "it's", "a.b": [1, {"c": None}], "1count": True}
    done = run(deployment, script, None, config, is_adhoc=True)
    assert done.result["stdout"].split("\n")[0] == "it's:it's:[1,{\"c\":null}]:true"
    assert done.result["stdout"].split()[-1] == "0"


def test_an_inline_script_stops_at_the_first_error(deployment: Deployment) -> None:
    done = run(deployment, "echo before\nfalse\necho after\n", is_adhoc=True)
    assert (done.status, done.result["exit_code"], done.result["stdout"]) == ("failed", 1, "before\n")


def test_an_inline_script_may_be_long(deployment: Deployment) -> None:
    script = "".join(f"echo line {number} > /dev/null\n" for number in range(20_000)) + "echo end\n"
    assert run(deployment, script, is_adhoc=True).result["stdout"] == "end\n"


def test_the_file_of_an_inline_script_is_private_and_gone_afterwards(deployment: Deployment) -> None:
    done = run(deployment, 'echo "$0"; stat -c %a "$0"', is_adhoc=True)
    path, mode = done.result["stdout"].split()
    assert mode == "400"
    assert not Path(path).exists()


def test_a_command_with_a_path_is_text_in_an_ad_hoc_action_only(deployment: Deployment) -> None:
    assert run(deployment, "/bin/echo", is_adhoc=True).result["stdout"] == "\n"
    assert refused(run(deployment, "/bin/echo"), "lies outside its pack")


def test_text_with_parameters_of_a_file_reads_them_too(deployment: Deployment) -> None:
    done = run(deployment, 'cat "$ATTUNE_PARAMETER_FILE"', None, {"a": 1}, parameter_delivery="file", is_adhoc=True)
    assert done.result["stdout"] == '{"a":1}'


# --- which runtime ---


def test_a_native_program_runs_itself(deployment: Deployment) -> None:
    done = run(deployment, "tool", "#!/bin/sh\necho native $#\n", runtime="core.native")
    assert done.result["stdout"] == "native 0\n"


def test_without_a_runtime_the_extension_decides(deployment: Deployment) -> None:
    assert run(deployment, "by_extension.sh", "echo $BASH_VERSION\n", runtime=None).result["stdout"] != "\n"
    assert refused(run(deployment, "unknown.xyz", "text", runtime=None), "has no runtime")


def test_a_runtime_without_an_interpreter_here_is_named(deployment: Deployment) -> None:
    config = {"interpreter": {"binary": "/opt/nowhere/lisp", "file_extension": ".lisp"}}
    deployment.add_runtime("entry.lisp", config)
    done = run(deployment, "program.lisp", "()", runtime="entry.lisp")
    assert refused(done, "this machine has no interpreter for lisp (entry.lisp): /opt/nowhere/lisp isn't here")


def test_a_runtime_that_was_added_later_is_found(deployment: Deployment) -> None:
    program = write_program(deployment.directory / "bin", "later", 'echo "later ran $1"')
    deployment.add_runtime("entry.later", {"interpreter": {"binary": str(program), "file_extension": ".later"}})
    done = run(deployment, "x.later", "", runtime="entry.later")
    assert done.result["stdout"] == f"later ran {deployment.packs}/entry/actions/x.later\n"


def test_a_runtime_that_was_changed_runs_as_it_is_now(deployment: Deployment) -> None:
    bin_ = deployment.directory / "bin"
    old, new = write_program(bin_, "old", "echo old"), write_program(bin_, "new", 'echo "new $1"')
    deployment.add_runtime("entry.changing", {"interpreter": {"binary": str(old), "file_extension": ".changing"}})
    assert run(deployment, "x.changing", "", runtime="entry.changing").result["stdout"] == "old\n"
    deployment.database.execute(
        "UPDATE runtime SET execution_config = jsonb_set(jsonb_set(execution_config, '{interpreter,binary}', %s),"
        " '{interpreter,args}', '[\"-x\"]') WHERE ref = 'entry.changing'",
        [f'"{new}"'],
    )
    assert run(deployment, "x.changing", runtime="entry.changing").result["stdout"] == "new -x\n"


def test_a_runtime_whose_configuration_cannot_be_read_fails_only_its_own_actions(deployment: Deployment) -> None:
    deployment.add_runtime("entry.garbled", {"interpreter": {"binary": 7}})
    done = run(deployment, "x.garbled", "", runtime="entry.garbled")
    assert (done.status, done.result["cause"]) == ("failed", "invalid")
    assert run(deployment, "fine.sh", "echo fine\n").status == "completed"


def test_a_worker_that_is_restricted_refuses_other_runtimes(deployment: Deployment) -> None:
    deployment.add_action("entry.restricted", "echo shell\n")
    with deployment.another_agent("restricted", ATTUNE_WORKER_RUNTIMES="native") as agent:
        done = deployment.run("entry.restricted", worker=agent.worker_id)
    assert refused(done, "runtime core.shell is not among those that this worker is restricted to (native)")


# --- which version (promises: constraints keep their meaning; no other version runs) ---


@pytest.fixture(scope="module")
def fake(deployment: Deployment) -> str:
    """A runtime with versions 3.11 (3.11.4 in truth), 3.12 (3.12.9) here, and 3.13 that isn't here; its ref."""
    bin_ = deployment.directory / "bin"
    base = write_program(bin_, "fake", 'case $1 in --version) echo "Fake 2.7.1";; *) echo base;; esac')
    deployment.add_runtime("entry.fake", {"interpreter": {"binary": str(base), "file_extension": ".fake"}})
    for version, actual in (("3.11", "3.11.4"), ("3.12", "3.12.9")):
        body = f'case $1 in --version) echo "Fake {actual}";; *) echo {actual};; esac'
        program = write_program(bin_, f"fake{version}", body)
        deployment.add_runtime_version("entry.fake", version, str(program), is_default=version == "3.11")
    deployment.add_runtime_version("entry.fake", "3.13", str(bin_ / "fake3.13"))
    return "entry.fake"


@pytest.mark.parametrize(
    ("constraint", "version"),
    [
        (None, "3.11.4"),
        (">=3.11", "3.12.9"),
        ("3.12", "3.12.9"),
        ("~3.11", "3.11.4"),
        (">=3.11,<3.12", "3.11.4"),
        ("3", "3.12.9"),
        ("=3.12", "3.12.9"),
        ("3.12.9", "3.12.9"),
    ],
)
def test_the_version_that_the_constraint_asks_for_runs(
    deployment: Deployment, fake: str, constraint: str | None, version: str
) -> None:
    done = run(deployment, "x.fake", "", runtime=fake, runtime_version_constraint=constraint)
    assert done.result.get("stdout") == f"{version}\n", done.result


def test_an_unmet_constraint_fails_and_says_what_was_found_where(deployment: Deployment, fake: str) -> None:
    done = run(deployment, "x.fake", "", runtime=fake, runtime_version_constraint=">=3.13")
    assert refused(done, "no version of fake on this machine meets '>=3.13'", "unmet_constraint")
    for words in ("3.11.4", "3.12.9", "/bin/fake3.12", "not here: 3.13", "/bin/fake3.13"):
        assert words in done.result["error"]


def test_a_constraint_that_cannot_be_read_is_named(deployment: Deployment, fake: str) -> None:
    done = run(deployment, "x.fake", "", runtime=fake, runtime_version_constraint="three")
    assert refused(done, "three", "unmet_constraint")


def test_a_version_whose_row_is_changed_after_its_installation_is_found(deployment: Deployment, fake: str) -> None:
    late = deployment.directory / "bin" / "fake4.0"
    deployment.add_runtime_version(fake, "4.0", str(late))
    columns = {"runtime": fake, "runtime_version_constraint": ">=4"}
    assert refused(run(deployment, "x.fake", "", **columns), "not here: 4.0", "unmet_constraint")
    write_program(late.parent, late.name, 'case $1 in --version) echo "Fake 4.0.2";; *) echo 4.0.2;; esac')
    # Checks are trusted for a while, but a row that was changed is verified at once.
    deployment.database.execute(
        "UPDATE runtime_version SET execution_config = jsonb_set(execution_config, '{interpreter,args}', '[\"-q\"]')"
        " WHERE version = '4.0'"
    )
    assert run(deployment, "x.fake", "", **columns).result["stdout"] == "4.0.2\n"


def test_what_was_verified_is_written_down(deployment: Deployment, fake: str) -> None:
    run(deployment, "x.fake", "", runtime=fake)
    rows = {
        row["version"]: row
        for row in deployment.all(
            "SELECT version, available, verified_at FROM runtime_version WHERE runtime_ref = %s", [fake]
        )
    }
    assert (rows["3.12"]["available"], rows["3.13"]["available"]) == (True, False)
    assert rows["3.12"]["verified_at"] is not None
