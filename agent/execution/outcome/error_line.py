"""Find, in what a program wrote to stderr, the line that says what went wrong (pure).

Each language ends in its own way: Node.js with its version, Java and Ruby with the stack, R with "Execution halted", Go
with the exit status. What no language's form is found in is left to the caller.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

#: Text that is longer is only looked at from its end.
_MOST = 64 * 1024
_LONGEST = 2000

_BANNER = re.compile(r"^(?:NOTE: )?Picked up [A-Z_]*OPTIONS: ")
_NODE_END = re.compile(r"^Node\.js v\d+\.\d+")
_NODE_STACK = re.compile(r"^    at (?:async )?\S")
_JAVA = re.compile(r'^Exception in thread "[^"]*" (.+)$')
_NO_JAVAC = (
    "this Java can't run source files because it has no compiler: use a JDK; on Debian and Ubuntu: "
    "apt-get install default-jdk-headless"
)
_JAVAC = re.compile(r"^\S+\.java:\d+: error: .+$")
_RUBY = re.compile(r"^\S+?:\d+:in [`'].*?': (.+)$")
_RUBY_TOP = re.compile(r"^\S+\.rb:\d+: (.+)$")
_GO_PANIC = re.compile(r"^(?:panic|fatal error): .+$")
_GO_COMPILE = re.compile(r"^\S+\.go:\d+(?::\d+)?: .+$")
_PYTHON = "Traceback (most recent call last):"
_PYTHON_SYNTAX = re.compile(r"^(?:SyntaxError|IndentationError|TabError): ")
_R = re.compile(r"^Error(?: in .+?)? ?: ?(.*)$")
_PHP = re.compile(r"^(?:PHP )?(?:Fatal|Parse) error: +(.+)$")
_PERL = re.compile(r"^.+ at \S+ line \d+\.?$")
_PERL_CALLER = re.compile(r"^\s+\S.* called at \S+ line \d+")


def error_line(stderr: str) -> str | None:
    """Return the line that says what went wrong, None where no language's form is recognised."""
    lines = [line.rstrip() for line in stderr[-_MOST:].splitlines()]
    lines = [line for line in lines if not _BANNER.match(line)]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        return None
    found = next((line for find in _FORMS if (line := find(lines))), None)
    return found[:_LONGEST] if found else None


def without_banners(stderr: str) -> str:
    """Return the text without the lines in which Java names the variables that it has read."""
    if "Picked up " not in stderr:
        return stderr
    return "".join(line for line in stderr.splitlines(keepends=True) if not _BANNER.match(line))


def _node(lines: Sequence[str]) -> str | None:
    if not _NODE_END.match(lines[-1]):
        return None
    stack = next((index for index, line in enumerate(lines) if _NODE_STACK.match(line)), None)
    if stack is None:
        marked = next((index for index, line in enumerate(lines) if line.strip() and not line.strip("^ ")), None)
        after = lines[(marked or 0) + 1 : -1]
        return next((line for line in after if line and not line.startswith("(Use `node")), None)
    start = stack
    while start > 0 and lines[start - 1]:
        start -= 1
    return lines[start] if start < stack else None


def _python(lines: Sequence[str]) -> str | None:
    starts = [index for index, line in enumerate(lines) if line == _PYTHON]
    if starts:
        rest = lines[starts[-1] + 1 :]
        return next((line for line in rest if line and not line.startswith((" ", "\t"))), None)
    return next((line for line in lines if _PYTHON_SYNTAX.match(line)), None)


def _java(lines: Sequence[str]) -> str | None:
    thrown = _first(lines, _JAVA)
    if thrown:
        return f"{thrown}: {_NO_JAVAC}" if "Module jdk.compiler not " in thrown else thrown
    compiled = next((line for line in lines if _JAVAC.match(line)), None)
    return compiled if compiled and any(line.startswith(("error: compilation", "1 error")) for line in lines) else None


def _ruby(lines: Sequence[str]) -> str | None:
    with_stack = any(line.startswith("\tfrom ") for line in lines)
    found = _first(lines, _RUBY)
    if found and (with_stack or _RUBY.match(lines[-1]) or found.endswith(")")):
        return found
    return _first(lines, _RUBY_TOP) if "syntax error" in "\n".join(lines[:3]) else None


def _go(lines: Sequence[str]) -> str | None:
    panic = next((line for line in lines if _GO_PANIC.match(line)), None)
    if panic:
        return panic
    if any(line.startswith("# ") for line in lines):
        return next((line for line in lines if _GO_COMPILE.match(line)), None)
    if re.fullmatch(r"exit status \d+", lines[-1]):
        return next((line for line in reversed(lines[:-1]) if line), None)
    return None


def _r(lines: Sequence[str]) -> str | None:
    if lines[-1] not in ("Execution halted", "Calls: ") and not lines[-1].startswith("Execution halted"):
        return None
    for index, line in enumerate(lines):
        match = _R.match(line)
        if match:
            return match[1].strip() or next((text.strip() for text in lines[index + 1 :] if text.strip()), line)
    return next((line for line in reversed(lines[:-1]) if line), None)


def _php(lines: Sequence[str]) -> str | None:
    return _first(lines, _PHP)


def _perl(lines: Sequence[str]) -> str | None:
    if not _PERL_CALLER.match(lines[-1]):
        return None
    return next((line for line in lines if _PERL.match(line) and not _PERL_CALLER.match(line)), None)


def _first(lines: Sequence[str], pattern: re.Pattern[str]) -> str | None:
    return next((match[1] for line in lines if (match := pattern.match(line))), None)


_FORMS: tuple[Callable[[Sequence[str]], str | None], ...] = (_node, _python, _java, _go, _r, _php, _ruby, _perl)
