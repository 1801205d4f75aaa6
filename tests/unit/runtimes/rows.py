"""Rows of runtimes and versions for tests."""

from __future__ import annotations

from typing import Any

from agent.runtimes.execution_config import ExecutionConfig, Interpreter
from agent.runtimes.model import Runtime, RuntimeVersion


def config(binary: str, **more: Any) -> ExecutionConfig:
    return ExecutionConfig(interpreter=Interpreter(binary, **more))


def commands(*entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    """``distributions`` with verification commands."""
    return {"verification": {"commands": list(entries), **more}}


def runtime(ref: str, name: str, binary: str = "", *, id_: int = 1, **more: Any) -> Runtime:
    return Runtime(id=id_, ref=ref, name=name, config=config(binary), **more)


def version(
    text: str, binary: str = "", *, ref: str = "core.python", id_: int | None = None, **more: Any
) -> RuntimeVersion:
    return RuntimeVersion(
        id=id_ if id_ is not None else abs(hash((ref, text))) % 1000 + 1,
        runtime=1,
        runtime_ref=ref,
        version=text,
        config=more.pop("config", config(binary)),
        **more,
    )
