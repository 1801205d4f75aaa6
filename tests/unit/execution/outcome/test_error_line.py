"""The line that says what went wrong, as each language really writes it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.execution.outcome.error_line import error_line, without_banners

NODE = """/pack/actions/a.js:1
throw new Error("boom: disk full")
^

Error: boom: disk full
    at Object.<anonymous> (/pack/actions/a.js:1:7)
    at Module._compile (node:internal/modules/cjs/loader:1554:14)

Node.js v20.20.2
"""
JAVA = """Picked up JAVA_TOOL_OPTIONS: -Dx=1
Exception in thread "main" java.lang.IllegalStateException: boom: disk full
\tat A.main(A.java:1)
Caused by: java.io.IOException: other
\t... 1 more
"""


@pytest.mark.parametrize(
    ("stderr", "line"),
    [
        (NODE, "Error: boom: disk full"),
        (
            NODE.replace("Error: boom: disk full\n    at", "TypeError [ERR_X]: no\nsecond line\n    at"),
            "TypeError [ERR_X]: no",
        ),
        ("/a.js:1\nthrow 'x'\n^\nx\n(Use `node --trace-uncaught ...` to show)\n\nNode.js v20.1.0\n", "x"),
        (
            "Error: A JNI error has occurred, please check your installation and try again\n"
            'Exception in thread "main" java.lang.InternalError: Module jdk.compiler not in boot Layer\n\tat x\n',
            "java.lang.InternalError: Module jdk.compiler not in boot Layer: this Java can't run source files because "
            "it has no compiler: use a JDK; on Debian and Ubuntu: apt-get install default-jdk-headless",
        ),
        (JAVA, "java.lang.IllegalStateException: boom: disk full"),
        (
            "A.java:3: error: ';' expected\n  x\n   ^\n1 error\nerror: compilation failed\n",
            "A.java:3: error: ';' expected",
        ),
        (
            'warning: x\nTraceback (most recent call last):\n  File "a.py", line 1, in <module>\n    f()\n'
            "ValueError: boom: disk full\nsecond line of the message\n",
            "ValueError: boom: disk full",
        ),
        (
            "Traceback (most recent call last):\n  a\nKeyError: 1\n\nDuring handling of the above exception, another"
            " exception occurred:\n\nTraceback (most recent call last):\n  b\nOSError: boom\n",
            "OSError: boom",
        ),
        ('  File "a.py", line 1\n    x x\n      ^\nSyntaxError: invalid syntax\n', "SyntaxError: invalid syntax"),
        (
            "panic: boom: disk full\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:3 +0x1d\nexit status 2\n",
            "panic: boom: disk full",
        ),
        ("# command-line-arguments\n./a.go:3:15: undefined: x\n./a.go:4:1: more\n", "./a.go:3:15: undefined: x"),
        ("2026/01/01 00:00:00 boom: disk full\nexit status 1\n", "2026/01/01 00:00:00 boom: disk full"),
        (
            "a.rb:1:in `f': boom: disk full (RuntimeError)\n\tfrom a.rb:2:in `<main>'\n",
            "boom: disk full (RuntimeError)",
        ),
        ("a.rb:1:in 'Object#f': boom (RuntimeError)\n\tfrom a.rb:2:in '<main>'\n", "boom (RuntimeError)"),
        ("Error in f() : boom: disk full\nCalls: f\nExecution halted\n", "boom: disk full"),
        ("Error in f() : \n  a long message\nCalls: f\nExecution halted\n", "a long message"),
        ("Error: boom\nExecution halted\n", "boom"),
        (
            "PHP Fatal error:  Uncaught Exception: boom in /a.php:1\n"
            "Stack trace:\n#0 {main}\n  thrown in /a.php on line 1\n",
            "Uncaught Exception: boom in /a.php:1",
        ),
        ("boom at a.pl line 1.\n\tmain::f() called at a.pl line 2\n", "boom at a.pl line 1."),
        ("nothing special\nat all\n", None),
        ("", None),
        ("\n\n", None),
        ("Picked up JAVA_TOOL_OPTIONS: -Dx=1\n", None),
    ],
)
def test_is_found_in_what_each_language_writes(stderr: str, line: str | None) -> None:
    assert error_line(stderr) == line


def test_the_banner_of_java_is_no_error() -> None:
    assert without_banners("Picked up JAVA_TOOL_OPTIONS: -Dx\nboom\n") == "boom\n"
    assert without_banners("boom\n") == "boom\n"


def test_hostile_output_is_read_in_no_time() -> None:
    for text in (
        "Error in " + "a " * 40000 + "\nExecution halted",
        "x:1:in `" * 9000,
        ("\t" + "at " * 99 + "\n") * 900,
    ):
        error_line(text)


PROGRAMS = {
    "python": (sys.executable, ".py", "raise ValueError('boom: disk full')\n", "ValueError: boom: disk full"),
    "node": ("node", ".js", "throw new Error('boom: disk full')\n", "Error: boom: disk full"),
    "ruby": ("ruby", ".rb", "def f; raise 'boom: disk full'; end\nf\n", "boom: disk full (RuntimeError)"),
    "perl": (
        "perl",
        ".pl",
        "use Carp; sub f { confess 'boom: disk full' } f();\n",
        "boom: disk full at {file} line 1.",
    ),
    "r": ("Rscript", ".R", "f <- function() stop('boom: disk full')\nf()\n", "boom: disk full"),
    "php": (
        "php",
        ".php",
        "<?php throw new Exception('boom: disk full');\n",
        "Uncaught Exception: boom: disk full in {file}:1",
    ),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.language(name)) for name in PROGRAMS])
def test_is_found_in_what_the_real_interpreter_writes(name: str, tmp_path: Path) -> None:
    program, suffix, text, expected = PROGRAMS[name]
    if shutil.which(program) is None:
        pytest.skip(f"no {name} here")
    file = tmp_path / f"action{suffix}"
    file.write_text(text)
    words = [program, "-d", "display_errors=stderr", "-d", "log_errors=0"] if name == "php" else [program]
    done = subprocess.run([*words, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert error_line(done.stderr) == expected.format(file=file)
