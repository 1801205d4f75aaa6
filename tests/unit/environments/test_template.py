"""Templates: literal, one pass, and no character of a value is ever code."""

from __future__ import annotations

import pytest

from agent.environments.template import fill, fill_command, fill_env_vars
from agent.runtimes.model import EnvVar

VALUES = {"pack_dir": "/packs/demo", "env_dir": "/envs/demo", "interpreter": "/usr/bin/python3"}


def test_known_placeholders_are_replaced_and_unknown_ones_stay() -> None:
    assert fill("{pack_dir}/lib:{env_dir}:{action_file}:{}", VALUES) == "/packs/demo/lib:/envs/demo:{action_file}:{}"


def test_a_value_that_looks_like_a_placeholder_is_not_filled_in_again() -> None:
    assert fill("{pack_dir}", {"pack_dir": "{env_dir}", "env_dir": "/secret"}) == "{env_dir}"


def test_a_word_of_a_command_is_never_split() -> None:
    filled = fill_command(["pip", "install", "-r", "{pack_dir}/r.txt"], {"pack_dir": "/a b; rm -rf $HOME"})
    assert filled == ("pip", "install", "-r", "/a b; rm -rf $HOME/r.txt")


HOSTILE = '/a b/$(touch x)`y`/"q"\'s\\'


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("ls {env_dir}", "ls '/a b'"),
        ("ls {env_dir}/gems", "ls '/a b'/gems"),
        ('ls "{env_dir}"', 'ls "/a b"'),
        ("ls '{env_dir}'", "ls '/a b'"),
        ("ls \\'{env_dir}", "ls \\''/a b'"),
        ("""R -e "restore(library='{env_dir}')" """, """R -e "restore(library='/a b')" """),
    ],
)
def test_a_value_in_a_shell_script_is_quoted_as_its_place_needs(script: str, expected: str) -> None:
    assert fill_command(["sh", "-c", script], {"env_dir": "/a b"})[2] == expected


def test_plain_paths_leave_a_shell_script_as_it_was_written() -> None:
    assert fill_command(["/bin/bash", "-ec", 'mkdir -p {env_dir} && cd "{pack_dir}"'], VALUES) == (
        "/bin/bash",
        "-ec",
        'mkdir -p /envs/demo && cd "/packs/demo"',
    )


def test_arguments_after_a_script_are_words() -> None:
    filled = fill_command(["sh", "-c", 'cd "$1"', "sh", "{env_dir}"], {"env_dir": HOSTILE})
    assert filled == ("sh", "-c", 'cd "$1"', "sh", HOSTILE)


def test_only_a_shell_gets_its_words_quoted() -> None:
    assert fill_command(["python3", "-c", "{env_dir}"], {"env_dir": "a b"}) == ("python3", "-c", "a b")
    assert fill_command(["sh", "script", "-c", "{env_dir}"], {"env_dir": "a b"})[3] == "a b"


def test_variables_keep_how_they_join() -> None:
    assert fill_env_vars({"PYTHONPATH": EnvVar("{pack_dir}/lib", "prepend", ";")}, VALUES) == {
        "PYTHONPATH": EnvVar("/packs/demo/lib", "prepend", ";")
    }
