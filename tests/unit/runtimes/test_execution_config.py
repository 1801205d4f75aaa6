"""Reading ``execution_config``."""

from __future__ import annotations

from typing import Any

import pytest

from agent.runtimes.execution_config import (
    DependencySpec,
    EnvironmentSpec,
    EnvVar,
    ExecutionConfig,
    InlineExecution,
    Interpreter,
)


def test_nothing_is_the_native_configuration() -> None:
    assert ExecutionConfig.from_json(None) == ExecutionConfig.from_json({}) == ExecutionConfig()
    assert ExecutionConfig().interpreter.binary == ""
    assert ExecutionConfig.from_json({"interpreter": None, "environment": None, "env_vars": None}) == ExecutionConfig()


def test_reads_every_documented_key_and_ignores_others() -> None:
    config = ExecutionConfig.from_json(
        {
            "interpreter": {"binary": "python3", "args": ["-u"], "file_extension": ".py", "new": 1},
            "inline_execution": {"strategy": "temp_file", "extension": ".sh", "inject_shell_helpers": True},
            "environment": {
                "env_type": "virtualenv",
                "create_command": ["python3", "-m", "venv", "{env_dir}"],
                "interpreter_path": "{env_dir}/bin/python3",
            },
            "dependencies": {"manifest_file": "requirements.txt", "install_command": ["pip"]},
            "env_vars": {
                "A": "plain",
                "B": {"value": "x", "operation": "prepend"},
                "C": {"value": "y", "separator": ";"},
            },
            "future": [],
        }
    )
    assert config.interpreter == Interpreter("python3", ("-u",), ".py")
    assert config.inline_execution == InlineExecution("temp_file", ".sh", True)
    assert config.environment == EnvironmentSpec(
        "virtualenv", ".venv", ("python3", "-m", "venv", "{env_dir}"), "{env_dir}/bin/python3"
    )
    assert config.dependencies == DependencySpec("requirements.txt", ("pip",))
    assert config.env_vars == {"A": EnvVar("plain"), "B": EnvVar("x", "prepend"), "C": EnvVar("y", "set", ";")}


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ([], "execution_config"),
        ("python3", "execution_config"),
        ({"interpreter": "python3"}, "interpreter"),
        ({"interpreter": {"binary": 3}}, "interpreter.binary"),
        ({"interpreter": {"args": "-u"}}, "interpreter.args"),
        ({"interpreter": {"args": [1]}}, "interpreter.args"),
        ({"inline_execution": {"strategy": "pipe"}}, "inline_execution.strategy"),
        ({"inline_execution": {"inject_shell_helpers": "yes"}}, "inline_execution.inject_shell_helpers"),
        ({"environment": {}}, "environment.env_type"),
        ({"dependencies": {"install_command": []}}, "dependencies.manifest_file"),
        ({"env_vars": {"A": 1}}, "env_vars.A"),
        ({"env_vars": {"A": {"operation": "set"}}}, "env_vars.A.value"),
        ({"env_vars": {"A": {"value": "x", "operation": "remove"}}}, "env_vars.A.operation"),
    ],
)
def test_a_wrong_type_is_a_complaint_that_names_the_key(data: Any, key: str) -> None:
    with pytest.raises(ValueError, match=rf"^{key}\b"):
        ExecutionConfig.from_json(data)
