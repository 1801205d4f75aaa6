"""Asking interpreters for their versions."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.runtimes.detected import DetectedInterpreter, Detection
from agent.runtimes.detection import detect_interpreters
from agent.runtimes.languages import LANGUAGES, Language
from agent.runtimes.version_output import parse_version_output
from tests.children.interpreters import HANGS, complains, prints, write_program
from tests.children.processes import wait_until_gone
from tests.services.waiting import not_for_ever

ON_PATH = [family._replace(homes=()) for family in LANGUAGES if family.name != "shell"]
SYSTEM = "/usr/bin:/bin"


@pytest.mark.parametrize(
    ("family", "output", "version"),
    [
        ("python", "Python 3.12.1", "3.12.1"),
        ("node", "v20.11.0\n", "20.11.0"),
        ("go", "go version go1.22.0 linux/amd64", "1.22.0"),
        ("go", "go version go1.22rc1 linux/amd64", "1.22.0-rc.1"),
        ("python", "Python 3.14.0a7+", "3.14.0-alpha.7"),
        ("ruby", "ruby 3.4.0dev (2024-08-01T00:00:00Z master 0123456789) [x86_64-linux]", "3.4.0-dev"),
        ("ruby", "ruby 3.4.0preview1 (2024-05-16 master 9d69619623) [x86_64-linux]", "3.4.0-preview.1"),
        ("ruby", "jruby 9.4.5.0 (3.1.4) 2023-11-02 1abae2700f OpenJDK 64-Bit Server VM 17.0.9+9", "3.1.4"),
        ("ruby", "truffleruby 23.1.1, like ruby 3.2.2, Oracle GraalVM Native [x86_64-linux]", "3.2.2"),
        ("node", "v22.0.0-nightly2024041501a2b3", "22.0.0-nightly2024041501a2b3"),
        ("r", "Rscript (R) version 4.5.0 Under development (unstable) (2024-08-01)", "4.5.0-dev"),
        ("java", 'Picked up JAVA_TOOL_OPTIONS: -Dversion="9.9.9"\nopenjdk version "17.0.9" 2023-10-17', "17.0.9"),
        ("java", 'openjdk version "21-ea" 2023-09-19', "21-ea"),
        ("shell", "GNU bash, version 5.2.15(1)-release (x86_64-pc-linux-gnu)", "5.2.15"),
        ("ruby", "ruby 3.3.0 (2023-12-25 revision 5124f9ac75) [x86_64-linux]", "3.3.0"),
        ("perl", "\nThis is perl 5, version 38, subversion 2 (v5.38.2) built for x86_64", "5.38.2"),
        ("r", "Rscript (R) version 4.3.1 (2023-06-16)", "4.3.1"),
        ("shell", "sh: 0: Illegal option --", None),
        ("shell", "BusyBox v1.36.1 (2023-11-07 18:53:09 UTC) multi-call binary.", "1.36.1"),
        ("python", "1.2.3.4", "1.2.3"),
        ("python", "12", None),
        ("python", "Python ٣.١٢", None),
        ("java", 'openjdk version "21.0.1" 2023-10-17', "21.0.1"),
        ("java", 'java version "1.8.0_392"', "1.8.0_392"),
        ("java", 'openjdk version "17" 2021-09-14', "17"),
        ("java", "openjdk 21.0.1 2023-10-17", "21.0.1"),
        ("java", "", None),
        ("java", 'openjdk version "²"', None),
        ("java", 'openjdk version "17.²"', None),
        ("java", f'openjdk version "{"9" * 5000}"', None),
        ("ruby", f"ruby 3.{'9' * 5000}", None),
        ("ruby", f"jruby 9.4.5.0 ({'9' * 5000}.1)", "9.4.5"),
        ("python", f"Python {'9' * 5000}.1", None),
    ],
)
def test_finds_the_version_in_what_an_interpreter_prints(family: str, output: str, version: str | None) -> None:
    assert parse_version_output(family, output) == version


def detection(directory: Path, timeout: float = 5.0, **variables: str) -> Detection:
    env = {"PATH": f"{directory}:{SYSTEM}", **variables}
    fakes = [family for family in ON_PATH if any((directory / name).exists() for name in family.binaries)]
    return detect_interpreters(env=env, timeout=timeout, families=fakes)


def detect(directory: Path, timeout: float = 5.0) -> dict[str, DetectedInterpreter]:
    return {item.name: item for item in detection(directory, timeout).first}


def problems(found: Detection) -> dict[str, str | None]:
    return {item.path: item.problem for item in found.unusable}


def test_reads_what_was_printed_to_either_stream(tmp_path: Path) -> None:
    write_program(tmp_path, "python3", prints("Python 3.12.1"))
    write_program(tmp_path, "java", complains('openjdk version "21.0.1" 2023-10-17', 0))
    write_program(tmp_path, "perl", "head -c 300 /dev/zero | tr '\\0' '\\377'; echo '(v5.38.2)'")
    assert detect(tmp_path) == {
        "python": DetectedInterpreter("python", str(tmp_path / "python3"), "3.12.1"),
        "java": DetectedInterpreter("java", str(tmp_path / "java"), "21.0.1"),
        "perl": DetectedInterpreter("perl", str(tmp_path / "perl"), "5.38.2"),
    }


@pytest.mark.parametrize(
    ("name", "body", "problem"),
    [
        ("node", complains("nodejs 22.11.0", 126), "ends with exit code 126: nodejs 22.11.0"),
        ("ruby", "kill -9 $$", "ended by signal 9"),
        ("perl", prints("no numbers here"), "it prints no version, but: no numbers here"),
        ("perl", "exit 0", "it prints no version"),
        ("node", HANGS, "no answer within 0.3 s"),
    ],
)
def test_what_fails_hangs_or_says_no_version_is_no_interpreter_and_the_next_one_is_taken(
    tmp_path: Path, name: str, body: str, problem: str
) -> None:
    broken = write_program(tmp_path / "broken", name, body)
    works = write_program(tmp_path / "works", name, prints("v20.11.0"))
    families = [family for family in ON_PATH if name in family.binaries]
    env = {"PATH": f"{tmp_path}/broken:{tmp_path}/works:/bin"}
    found = detect_interpreters(env=env, timeout=0.3, families=families)
    assert (found.first[0].path, found.first[0].version) == (str(works), "20.11.0")
    assert problem in str(problems(found)[str(broken)])

    alone = detect_interpreters(env={"PATH": f"{tmp_path}/broken"}, timeout=0.3, families=families)
    assert alone.found == () and str(broken) in problems(alone)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "jruby",
            "jruby 9.4.5.0 (3.1.4) 2023-11-02 1abae2700f OpenJDK 64-Bit Server VM 17.0.8 on 17.0.8 [x86_64-linux]",
        ),
        ("truffleruby", "truffleruby 24.1.1, like ruby 3.2.4, Oracle GraalVM Native [x86_64-linux]"),
    ],
)
def test_another_ruby_is_taken_where_there_is_no_usable_ruby_and_else_not_even_asked(
    tmp_path: Path, name: str, said: str
) -> None:
    other = write_program(tmp_path, name, f": > {tmp_path}/asked; {prints(said)}")
    families = [family for family in ON_PATH if name in family.substitutes]
    env = {"PATH": f"{tmp_path}:/bin/none"}
    (found,) = detect_interpreters(env=env, families=families).found
    assert (found.name, found.path) == ("ruby", str(other)) and found.version in ("3.1.4", "3.2.4")
    write_program(tmp_path, "ruby", complains("ruby: no version is set", 126))
    assert [item.path for item in detect_interpreters(env=env, families=families).found] == [str(other)]
    (tmp_path / "asked").unlink()
    write_program(tmp_path, "ruby", prints("ruby 3.3.0 (2023-12-25 revision 5124f9ac75) [x86_64-linux]"))
    assert [item.version for item in detect_interpreters(env=env, families=families).found] == ["3.3.0"]
    assert not (tmp_path / "asked").exists(), "a Java takes a second to start"


def test_an_empty_file_is_no_interpreter(tmp_path: Path) -> None:
    (tmp_path / "perl").touch(mode=0o755)
    found = detection(tmp_path)
    assert [item.path for item in found.first] == ["/usr/bin/perl"]
    assert "can't start" in str(problems(found)[str(tmp_path / "perl")])


def test_a_python_2_runs_no_action(tmp_path: Path) -> None:
    write_program(tmp_path, "python", complains("Python 2.7.18", 0))
    found = detect_interpreters(env={"PATH": str(tmp_path)}, families=ON_PATH[:1])
    assert found.found == ()
    assert problems(found)[str(tmp_path / "python")] == "it is Python 2.7.18; actions need Python 3"


def test_every_version_beside_the_plain_one_is_found_once_the_newest_first(tmp_path: Path) -> None:
    for version in ("3.9.1", "3.12.4", "3.11.2"):
        write_program(tmp_path, f"python{version.rpartition('.')[0]}", prints(f"Python {version}"))
    (tmp_path / "python3").symlink_to(tmp_path / "python3.11")
    (tmp_path / "python").symlink_to(tmp_path / "python3")
    os.link(tmp_path / "python3.12", tmp_path / "python3.13")
    write_program(tmp_path, "python3.11-config", prints("3.11.99"))
    found = detect_interpreters(env={"PATH": str(tmp_path)}, families=ON_PATH[:1])
    assert [(Path(item.path).name, item.version) for item in found.found] == [
        ("python3", "3.11.2"),
        ("python3.12", "3.12.4"),
        ("python3.9", "3.9.1"),
    ]


def test_absurd_numbers_of_one_hide_no_other(tmp_path: Path) -> None:
    write_program(tmp_path, "python3.98", f"echo Python 3.{'9' * 5000}")
    write_program(tmp_path, "python3.99", prints("Python 3.99.0"))
    write_program(tmp_path, "python3.97", prints("Python 3.97.0"))
    found = detect_interpreters(env={"PATH": str(tmp_path)}, families=ON_PATH[:1])
    assert [item.version for item in found.found] == ["3.99.0", "3.97.0"]
    assert list(problems(found)) == [str(tmp_path / "python3.98")]


def test_a_plain_shell_needs_to_know_no_version(tmp_path: Path) -> None:
    dash = write_program(tmp_path, "sh", '[ "$1" = -c ] && exit 0; ' + complains("sh: 0: Illegal option --", 2))
    shells = [Language("shell", ("shell",), ".sh", ("nosuchshell", "sh"))]
    found = detect_interpreters(env={"PATH": str(tmp_path)}, families=[shells[0]._replace(binaries=(str(dash),))])
    assert found.found == (DetectedInterpreter("shell", str(dash), None),)


def test_probes_run_at_the_root_not_in_somebodys_directory(tmp_path: Path) -> None:
    write_program(tmp_path, "ruby", f"pwd > {tmp_path}/where; echo 3.3.0")
    detect(tmp_path)
    assert (tmp_path / "where").read_text().strip() == "/"


def test_asks_each_family_with_its_own_arguments(tmp_path: Path) -> None:
    for name in ("node", "go", "java", "Rscript"):
        write_program(tmp_path, name, 'echo "[$*]" > "$0.args"; echo 1.2.3')
    detect(tmp_path)
    asked = {path.stem: path.read_text().strip() for path in tmp_path.glob("*.args")}
    assert asked == {"node": "[--version]", "go": "[version]", "java": "[-version]", "Rscript": "[--version]"}


def test_one_that_hangs_is_reported_and_its_processes_are_killed(tmp_path: Path) -> None:
    write_program(tmp_path, "python3", prints("Python 3.12.1"))
    write_program(tmp_path, "node", f"echo $$ > {tmp_path}/pid\n{HANGS}")
    with not_for_ever():
        detected = detect(tmp_path, timeout=1)
    assert detected["python"].version == "3.12.1"
    leader = (tmp_path / "pid").read_text().strip()
    assert wait_until_gone(lambda pid, group: group == leader) == []


def test_one_that_answers_but_leaves_a_process_behind_is_not_waited_for(tmp_path: Path) -> None:
    write_program(tmp_path, "ruby", "sleep 600 &\necho ruby 3.3.0")
    with not_for_ever():
        assert detect(tmp_path)["ruby"] == DetectedInterpreter("ruby", str(tmp_path / "ruby"), "3.3.0")


def test_one_that_cannot_be_started_is_still_reported(tmp_path: Path) -> None:
    (tmp_path / "perl").write_bytes(b"\x7fELF not really")
    (tmp_path / "perl").chmod(0o755)
    assert "can't start" in str(problems(detection(tmp_path))[str(tmp_path / "perl")])


def test_slow_ones_are_asked_side_by_side(tmp_path: Path) -> None:
    names = ("python3", "node", "ruby", "go", "java", "Rscript", "perl")
    for name in names:  # each waits until the last one has begun
        wait = f"until [ -e {tmp_path}/perl.begun ]; do sleep 0.01; done"
        write_program(tmp_path, name, f": > {tmp_path}/{name}.begun; {wait}; echo v1.2.3")
    found = detect(tmp_path, timeout=60)
    assert [found[name].version for name in found] == ["1.2.3"] * 7


def test_the_agents_own_settings_do_not_reach_an_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE__SECURITY__JWT_SECRET", "sesame")
    monkeypatch.setenv("PATH", f"{tmp_path}:{SYSTEM}")
    write_program(tmp_path, "ruby", f"env > {tmp_path}/env; echo 3.3.0")
    detect_interpreters(families=[family for family in LANGUAGES if family.name == "ruby"])
    assert "sesame" not in (tmp_path / "env").read_text()


@pytest.mark.parametrize(
    "family", [pytest.param(family, marks=pytest.mark.language(family.name), id=family.name) for family in LANGUAGES]
)
def test_real_interpreters_tell_their_version(family: Language) -> None:
    if not any(shutil.which(binary) for binary in family.binaries):
        pytest.skip(f"no {family.name} here")
    detected = detect_interpreters(families=[family]).first[0]
    assert detected.name == family.name
    assert detected.problem is None
    if Path(detected.path).resolve().name != "dash":
        assert detected.version is not None and detected.version[0].isdigit()


def test_detection_imports_no_third_party_library() -> None:
    code = (
        "import sys; from agent.runtimes import detection, detection_report; detection.detect_interpreters();"
        "print(*sorted({'psycopg', 'yaml', 'regex', 'pika', 'jwt', 'Crypto', 'rich', 'click'} & set(sys.modules)))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == ""
