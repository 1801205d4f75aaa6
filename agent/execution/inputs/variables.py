"""Build the environment of an action's process, in the documented order; secrets never enter it (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.errors import InvalidExecution
from agent.execution.inputs.dotenv import text_of
from agent.execution.inputs.loader_variables import loads_code
from agent.execution.model import Action, Execution
from agent.runtimes.model import EnvVar

#: Belongs to one execution: what the container itself has under these names must not reach an action.
_PER_EXECUTION = ("ATTUNE_API_TOKEN", "ATTUNE_PARAMETER_FILE", "ATTUNE_RULE", "ATTUNE_TRIGGER")

_TRACE = "TRACEPARENT"

_EVERYWHERE = ("://0.0.0.0", "://[::]")


@dataclass(frozen=True, slots=True)
class Site:
    """What all executions of this agent see alike: the API's URL and two directories as they are configured.

    ``allowed`` are variables that load code and that an operator lets an execution set.
    """

    api_url: str
    artifacts_dir: str
    runtime_envs_dir: str
    allowed: frozenset[str] = frozenset()


def api_url(configured: str | None, host: str, port: int) -> str:
    """Return where actions reach the API: ``configured`` (ATTUNE_API_URL), else the server's address.

    An address that means every interface becomes the loopback one.
    """
    url = configured or f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{port}"
    for everywhere in _EVERYWHERE:
        url = url.replace(everywhere, "://127.0.0.1")
    return url


def build_environment(
    container: Mapping[str, str],
    site: Site,
    execution: Execution,
    action: Action,
    env_vars: Mapping[str, EnvVar],
    *,
    api_token: str | None = None,
    parameter_file: str | None = None,
    traceparent: str | None = None,
) -> tuple[dict[str, str], list[str]]:
    """Return the environment and warnings about entries that were ignored.

    Later ones win: the container's, ``execution.env_vars`` (never ``ATTUNE_*``), the documented variables, the
    context, ``env_vars`` of the chosen runtime (their placeholders filled), the ones about parameters, and
    ``traceparent``, the trace that the execution belongs to (W3C Trace Context). Only an execution that sets
    TRACEPARENT itself keeps its own: a runtime serves executions of many traces, and knows of none. A runtime's prepend
    and append extend what the execution sets, not what the container has. ``execution.config`` must still be redacted:
    secrets never enter an environment.

    Raises:
        InvalidExecution: ``execution.env_vars`` sets a variable that loads code and is not allowed.
    """
    warnings: list[str] = []
    variables = _own_variables(execution.env_vars, site.allowed, warnings)
    own_trace = variables.get(_TRACE)
    variables["ATTUNE_EXEC_ID"] = str(execution.id)
    variables["ATTUNE_ACTION"] = execution.action_ref
    variables["ATTUNE_PACK_REF"] = execution.action_ref.partition(".")[0]
    variables["ATTUNE_API_URL"] = site.api_url
    variables["ATTUNE_ARTIFACTS_DIR"] = site.artifacts_dir
    variables["ATTUNE_RUNTIME_ENVS_DIR"] = site.runtime_envs_dir
    if api_token is not None:
        variables["ATTUNE_API_TOKEN"] = api_token
    if execution.rule_ref is not None:
        variables["ATTUNE_RULE"] = execution.rule_ref
    if execution.trigger_ref is not None:
        variables["ATTUNE_TRIGGER"] = execution.trigger_ref
    _add_context(variables, execution.config, warnings)
    for name, entry in env_vars.items():
        variables[name] = combined(entry, variables.get(name, ""))
    variables["ATTUNE_PARAMETER_DELIVERY"] = action.parameter_delivery
    variables["ATTUNE_PARAMETER_FORMAT"] = action.parameter_format
    if parameter_file is not None:
        variables["ATTUNE_PARAMETER_FILE"] = parameter_file
    if (trace := own_trace if own_trace is not None else traceparent) is not None:
        variables[_TRACE] = trace
    environment = dict(container)
    for name in _PER_EXECUTION:
        environment.pop(name, None)
    environment.update(variables)
    return environment, warnings


def _own_variables(env_vars: Any, allowed: frozenset[str], warnings: list[str]) -> dict[str, str]:
    """Return ``execution.env_vars`` without what may not or can't be set. Raises InvalidExecution."""
    if not env_vars:
        return {}
    if not isinstance(env_vars, Mapping):
        warnings.append("env_vars of the execution are ignored: they must be an object")
        return {}
    variables = {}
    for name, value in env_vars.items():
        if name.startswith("ATTUNE_"):
            warnings.append(f"env_vars of the execution can't set {name}")
        elif loads_code(name) and name not in allowed:
            raise InvalidExecution(
                f"env_vars of the execution sets {name}, which decides what code runs",
                hint="an operator can let it through with worker.allow_env_vars",
            )
        elif not isinstance(value, str):
            warnings.append(f"env_vars of the execution: {name!r} is ignored because its value is not a string")
        elif not _possible(name, value):
            warnings.append(
                f"env_vars of the execution: {name!r} is ignored because it can't be an environment variable"
            )
        else:
            variables[name] = value
    return variables


def _add_context(variables: dict[str, str], config: Any, warnings: list[str]) -> None:
    context = config.get("context") if isinstance(config, Mapping) else None
    if not isinstance(context, Mapping):
        return
    for key, value in context.items():
        text = text_of(value, null="null")
        if _possible(key, text):
            variables[f"ATTUNE_CONTEXT_{key.upper()}"] = text
        else:
            warnings.append(f"context: {key!r} is ignored because it can't be an environment variable")


def combined(entry: EnvVar, existing: str) -> str:
    """Return what a runtime's variable becomes where there is an ``existing`` value."""
    if entry.operation == "set":
        return entry.value
    parts = (entry.value, existing) if entry.operation == "prepend" else (existing, entry.value)
    return entry.separator.join(filter(None, parts))


def _possible(name: str, value: str) -> bool:
    return bool(name) and "=" not in name and "\0" not in name and "\0" not in value
