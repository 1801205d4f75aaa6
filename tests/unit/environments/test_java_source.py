"""What a Java file and a Java's directory say to who compiles for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.environments.java_source import java_main_class, other_compiler_options
from agent.errors import EnvironmentFailed


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("public class Greet { }", "Greet"),
        ("package a.b;\n\nimport java.util.*;\nfinal class Greet {}\nclass Other {}", "a.b.Greet"),
        ("// class Not\n/* class Nor */ record Pair(int a) { }", "Pair"),
        ('@Note("class Not") enum Colour { RED }', "Colour"),
        ("interface Greeter { static void main(String[] a) {} }", "Greeter"),
        ("class $A_1 {}", "$A_1"),
    ],
)
def test_the_first_class_of_a_file_is_started_as_java_itself_does(tmp_path: Path, source: str, name: str) -> None:
    file = tmp_path / "X.java"
    file.write_text(source)
    assert java_main_class(str(file)) == name


@pytest.mark.parametrize(
    "source",
    ["", "// class Not", "/* " * 300_000, '"' + '\\"' * 300_000, "\n" * 300_000, "class 1 " * 300_000, "\0"],
    ids=["empty", "comment", "open comments", "open strings", "blank lines", "words", "a null"],
)
def test_a_file_without_a_class_is_said(tmp_path: Path, source: str) -> None:
    file = tmp_path / "X.java"
    file.write_text(source)
    with pytest.raises(EnvironmentFailed, match="names no class"):
        java_main_class(str(file))


@pytest.mark.parametrize(
    ("release", "options"),
    [
        ('JAVA_RUNTIME_VERSION="x"\nJAVA_VERSION="17.0.15"\n', {"JDK_JAVAC_OPTIONS": "--release 17"}),
        ('JAVA_VERSION="1.8.0_392"\n', {"JDK_JAVAC_OPTIONS": "--release 8"}),
        ('JAVA_VERSION="25"\n', {"JDK_JAVAC_OPTIONS": "--release 25"}),
        ('JAVA_VERSION="17 -J-x"\n', {"JDK_JAVAC_OPTIONS": "--release 17"}),
        ("JAVA_VERSION=17\n", {}),
        ("\udc80", {}),
        (None, {}),
    ],
)
def test_another_javas_compiler_writes_what_this_java_can_run(
    tmp_path: Path, release: str | None, options: dict[str, str]
) -> None:
    (tmp_path / "bin").mkdir()
    if release is not None:
        (tmp_path / "release").write_text(release, errors="surrogateescape")
    assert other_compiler_options(str(tmp_path / "bin/java")) == options
    (tmp_path / "bin/javac").touch()
    assert other_compiler_options(str(tmp_path / "bin/java")) == {}
