"""Asking interpreters for their versions."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.runtimes.detected import DetectedInterpreter
from agent.runtimes.detection import detect_interpreters, parse_version_output
from agent.runtimes.probe import FAMILIES, Family
from tests.children.interpreters import HANGS, complains, prints, write_program
from tests.children.processes import wait_until_gone

ON_PATH = [family for family in FAMILIES if family.name != "shell"]
SYSTEM = "/usr/bin:/bin"


@pytest.mark.parametrize(
    ("family", "output", "version"),
    [
        ("python", "Python 3.12.1", "3.12.1"),
        ("node", "v20.11.0\n", "20.11.0"),
        ("go", "go version go1.22.0 linux/amd64", "1.22.0"),
        ("go", "go version go1.22rc1 linux/amd64", "1.22"),
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
    ],
)
def test_finds_the_version_in_what_an_interpreter_prints(family: str, output: str, version: str | None) -> None:
    assert parse_version_output(family, output) == version


def detect(directory: Path, timeout: float = 5.0) -> dict[str, DetectedInterpreter]:
    env = {"PATH": f"{directory}:{SYSTEM}"}
    fakes = [family for family in ON_PATH if any((directory / name).exists() for name in family.binaries)]
    return {item.name: item for item in detect_interpreters(env=env, timeout=timeout, families=fakes)}


def test_reads_stdout_and_stderr_and_ignores_the_exit_code(tmp_path: Path) -> None:
    write_program(tmp_path, "python3", prints("Python 3.12.1"))
    write_program(tmp_path, "java", complains('openjdk version "21.0.1" 2023-10-17'))
    write_program(tmp_path, "ruby", complains("sh: 0: Illegal option --", 2))
    write_program(tmp_path, "perl", "head -c 300 /dev/zero | tr '\\0' '\\377'; echo '(v5.38.2)'")
    assert detect(tmp_path) == {
        "python": DetectedInterpreter("python", str(tmp_path / "python3"), "3.12.1"),
        "java": DetectedInterpreter("java", str(tmp_path / "java"), "21.0.1"),
        "ruby": DetectedInterpreter("ruby", str(tmp_path / "ruby"), None),
        "perl": DetectedInterpreter("perl", str(tmp_path / "perl"), "5.38.2"),
    }


def test_asks_each_family_with_its_own_arguments(tmp_path: Path) -> None:
    for name in ("node", "go", "java", "Rscript"):
        write_program(tmp_path, name, 'echo "[$*]" > "$0.args"; echo 1.2.3')
    detect(tmp_path)
    asked = {path.stem: path.read_text().strip() for path in tmp_path.glob("*.args")}
    assert asked == {"node": "[--version]", "go": "[version]", "java": "[-version]", "Rscript": "[--version]"}


def test_one_that_hangs_is_reported_and_its_processes_are_killed(tmp_path: Path) -> None:
    write_program(tmp_path, "python3", prints("Python 3.12.1"))
    write_program(tmp_path, "node", f"echo $$ > {tmp_path}/pid\n{HANGS}")
    begin = time.monotonic()
    detected = detect(tmp_path, timeout=0.3)
    assert time.monotonic() - begin < 2
    assert detected["python"].version == "3.12.1"
    assert detected["node"].version is None and detected["node"].problem == "no answer within 0.3 s"
    leader = (tmp_path / "pid").read_text().strip()
    assert wait_until_gone(lambda pid, group: group == leader) == []


def test_one_that_answers_but_leaves_a_process_behind_is_not_waited_for(tmp_path: Path) -> None:
    write_program(tmp_path, "ruby", "sleep 600 &\necho ruby 3.3.0")
    begin = time.monotonic()
    assert detect(tmp_path)["ruby"] == DetectedInterpreter("ruby", str(tmp_path / "ruby"), "3.3.0")
    assert time.monotonic() - begin < 2


def test_one_that_cannot_be_started_is_still_reported(tmp_path: Path) -> None:
    (tmp_path / "perl").write_bytes(b"\x7fELF not really")
    (tmp_path / "perl").chmod(0o755)
    detected = detect(tmp_path)["perl"]
    assert detected.version is None
    assert detected.problem is not None and "can't start" in detected.problem


def test_slow_ones_are_asked_side_by_side(tmp_path: Path) -> None:
    for name in ("python3", "node", "ruby", "go", "java", "Rscript", "perl"):
        write_program(tmp_path, name, "sleep 0.2; echo v1.2.3")
    begin = time.monotonic()
    assert len(detect(tmp_path)) == 7
    assert time.monotonic() - begin < 0.9


def test_the_agents_own_settings_do_not_reach_an_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE__SECURITY__JWT_SECRET", "sesame")
    monkeypatch.setenv("PATH", f"{tmp_path}:{SYSTEM}")
    write_program(tmp_path, "ruby", f"env > {tmp_path}/env; echo 3.3.0")
    detect_interpreters(families=[family for family in FAMILIES if family.name == "ruby"])
    assert "sesame" not in (tmp_path / "env").read_text()


@pytest.mark.parametrize(
    "family", [pytest.param(family, marks=pytest.mark.language(family.name), id=family.name) for family in FAMILIES]
)
def test_real_interpreters_tell_their_version(family: Family) -> None:
    if not any(shutil.which(binary) for binary in family.binaries):
        pytest.skip(f"no {family.name} here")
    (detected,) = detect_interpreters(families=[family])
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
