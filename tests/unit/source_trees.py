"""The syntax trees of the program, and what the tests of architecture and documents read from them."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
AGENT = ROOT / "agent"


@functools.cache
def trees() -> dict[str, ast.Module]:
    """The syntax tree of each module, by its path below ``agent/``."""
    files = sorted(file for file in AGENT.rglob("*.py") if "data" not in file.relative_to(AGENT).parts)
    return {str(file.relative_to(AGENT)): ast.parse(file.read_bytes(), str(file)) for file in files}


@functools.cache
def nodes(tree: ast.AST) -> tuple[ast.AST, ...]:
    """All nodes of a tree: walking takes longer than most tests that look at them."""
    return tuple(ast.walk(tree))


def imported(tree: ast.Module) -> Iterator[str]:
    """The modules that a module imports, also inside functions."""
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def used(tree: ast.Module) -> Iterator[str]:
    """Dotted names that a module uses (``os.environ``), also when a part of them was imported under another name."""
    meaning: dict[str, str] = {}
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            meaning |= {
                alias.asname or alias.name.partition(".")[0]: alias.name for alias in node.names if alias.asname
            }
        elif isinstance(node, ast.ImportFrom) and node.module:
            meaning |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in nodes(tree):
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name):
            yield ".".join([meaning.get(node.id, node.id), *reversed(parts)])


def thread_names() -> set[str]:
    """The names under which the code starts threads; ``*`` stands for what is filled in."""
    found = set()
    for tree in trees().values():
        for node in nodes(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("start", "beside")
            ):
                if len(node.args) in (2, 3) and isinstance(node.args[0], ast.Constant):
                    found.add(str(node.args[0].value))
                elif len(node.args) in (2, 3) and isinstance(node.args[0], ast.JoinedStr):
                    found.add(
                        "".join(str(p.value) if isinstance(p, ast.Constant) else "*" for p in node.args[0].values)
                    )
    return found
