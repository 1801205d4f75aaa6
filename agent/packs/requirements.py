"""Reads on which workers something may run and how long what it writes is kept: keys that actions and sensors share."""

from __future__ import annotations

from agent.packs.mapping_reader import MappingReader
from agent.packs.model import Retention, WorkerRequirements

RETENTION = ("versions", "days", "hours", "minutes")
EFFECTS = ("no_schedule", "prefer_no_schedule")
TOLERATION_OPERATORS = ("equal", "exists")
EXPRESSION_OPERATORS = ("in", "not_in", "exists", "does_not_exist")


def read_requirements(fields: MappingReader) -> WorkerRequirements:
    """Read ``worker_selector``, ``worker_tolerations`` and ``worker_affinity``, in the executor's form."""
    _labels(fields, "worker_selector")
    for toleration in fields.sections("worker_tolerations"):
        toleration.required_text("key")
        toleration.text("value")
        toleration.choice("operator", TOLERATION_OPERATORS)
        toleration.choice("effect", EFFECTS)
        toleration.finish()
    _check_affinity(fields)
    tolerations = fields.find("worker_tolerations")
    values = fields.document.value(tolerations[1], "worker_tolerations") if tolerations else []
    return WorkerRequirements(
        selector=fields.mapping("worker_selector") or {},
        tolerations=tuple(values) if isinstance(values, list) else (),
        affinity=fields.mapping("worker_affinity") or {},
    )


def read_retention(fields: MappingReader) -> Retention:
    """Read the retention of logs and of artifacts."""
    return Retention(
        log_policy=fields.choice("log_retention_policy", RETENTION),
        log_limit=fields.number("log_retention_limit", least=1),
        artifact_policy=fields.choice("artifact_retention_policy", RETENTION),
        artifact_limit=fields.number("artifact_retention_limit", least=1),
    )


def _check_affinity(fields: MappingReader) -> None:
    affinity = fields.section("worker_affinity")
    if affinity is None:
        return
    for name in ("required", "anti_affinity"):
        for term in affinity.sections(name):
            _check_term(term)
    for preferred in affinity.sections("preferred"):
        if preferred.number("weight", least=1, most=100) is None and not preferred.has("weight"):
            preferred.complain("weight", "is missing")
        preference = preferred.section("preference")
        if preference is not None:
            _check_term(preference)
        elif not preferred.has("preference"):
            preferred.complain("preference", "is missing")
        preferred.finish()
    affinity.finish()


def _check_term(term: MappingReader) -> None:
    _labels(term, "match_labels")
    for expression in term.sections("match_expressions"):
        expression.required_text("key")
        if expression.choice("operator", EXPRESSION_OPERATORS) is None and not expression.has("operator"):
            expression.complain("operator", "is missing")
        expression.texts("values")
        expression.finish()
    term.finish()


def _labels(fields: MappingReader, name: str) -> None:
    labels = fields.section(name)
    for label in labels.names() if labels else ():
        if labels:
            labels.text(label)
