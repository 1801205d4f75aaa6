"""``attune-agent doctor [--json]``: check this container, and say what is wrong and what to do."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.doctor.container import check_container, check_limits
from agent.doctor.filesystems import check_filesystems, check_program
from agent.doctor.finding import Finding, Severity, fail, fine, warn
from agent.errors import AgentError, UsageError


def doctor(words: list[str], *, sensors: bool = False) -> int:
    """Print the report; return 0 when nothing failed, else 1. ``sensors``: that of a sensor service.

    Raises:
        UsageError: the words after ``doctor`` are not understood.
    """
    if words not in ([], ["--json"]):
        raise UsageError(f"usage: attune-agent {'sensor ' if sensors else ''}doctor [--json]")
    findings = list(_examine(sensors))
    if words:
        import json

        print(json.dumps({"findings": [dataclasses.asdict(finding) for finding in findings]}, ensure_ascii=False))
    else:
        _print_table(findings)
    return 1 if any(finding.verdict is Severity.FAIL for finding in findings) else 0


def _examine(sensors: bool) -> Iterator[Finding]:
    from agent.configuration import load_settings
    from agent.configuration.roles import as_sensor_service
    from agent.execution.inputs.scratch import scratch_candidates

    yield from check_container(os.environ)
    tree = os.environ.get("ATTUNE_LAUNCHER_TREE")
    yield check_program(Path(tree) if tree else None)
    yield _libraries()
    try:
        loaded = load_settings(os.environ)
    except AgentError as error:
        yield from _interpreters(())
        yield fail("settings", str(error), error.hint or "correct the configuration")
        return
    if sensors:
        loaded = as_sensor_service(loaded)
    settings = loaded.settings
    yield from _interpreters(settings.runtimes.search_paths)
    yield from (warn("settings", warning, "correct the configuration") for warning in loaded.warnings)
    scratch = scratch_candidates(settings.worker.scratch_dir, os.environ, settings.artifacts_dir)
    yield from check_filesystems(settings, scratch)
    # What talks to servers is large: it comes last, so that the rest is known even where it fails.
    from agent.doctor.network import check_grace, check_network

    yield from check_limits(settings.worker.limits)
    yield check_grace(settings, os.environ)
    yield from check_network(settings)
    if sensors:
        from agent.doctor.sensor_needs import check_sensors

        yield from check_sensors(loaded, os.environ)


def _libraries() -> Finding:
    """Use every library that comes late in the agent's life once: in the one-file agent none may be missing."""
    try:
        import jwt
        import pika
        import psycopg
        import regex
        import yaml

        from agent.execution.secrets.encryption import decrypt, encrypt

        secret = "attune"  # noqa: S105 - a text to encrypt, no secret
        key = "k" * 32
        works = decrypt(encrypt(secret, key), key) == secret and jwt.encode({}, key) != ""
    except (ImportError, OSError) as error:
        return fail("libraries", f"{type(error).__name__}: {error}", "this build is incomplete: build or copy it again")
    names = f"psycopg {psycopg.pq.__impl__}, libpq {psycopg.pq.version()}, pika {pika.__version__}"
    names += f", regex {regex.__version__}, yaml {yaml.__version__}"
    detail = names if yaml.__with_libyaml__ else f"{names} without libyaml"
    return fine("libraries", detail) if works else fail("libraries", "encryption gives wrong results", "build it again")


def _interpreters(search_paths: Sequence[str]) -> Iterator[Finding]:
    from agent.runtimes.detection import detect_interpreters

    detection = detect_interpreters(search_paths=search_paths)
    if not detection.found:
        remedy = "install an interpreter, or use an image that has one"
        yield warn("interpreters", "none was found: only native actions can be run", remedy)
    for item in detection.first:
        others = "".join(f", {other.version} in {other.path}" for other in detection.others(item.name))
        yield fine(f"interpreter {item.name}", f"{item.path} {item.version or 'of unknown version'}{others}")
    for item in detection.unusable:
        yield warn(f"interpreter {item.name}", f"{item.path}: {item.problem}", f"repair or remove {item.path}")


def _print_table(findings: list[Finding]) -> None:
    from agent.logs import escape_control

    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        print(f"{finding.verdict:<7}  {finding.check:<{width}}  {escape_control(finding.detail)}")
        if finding.remedy and finding.verdict is not Severity.OK:
            print(f"{'':<7}  {'':<{width}}  -> {escape_control(finding.remedy)}")
