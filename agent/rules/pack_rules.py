"""Read a pack together with what its rules say: the language of conditions and templates is not the file reader's."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from agent.db.pool import Database
from agent.packs.model import PackRule, Parsed, Problem
from agent.packs.parser import parse_pack
from agent.packs.registered import registered_runtimes
from agent.rules import conditions, templates


def parse_for_registration(directory: Path, database: Database) -> Parsed:
    """Read the pack in ``directory`` as it is registered in ``database``, with everything that is wrong with it.

    Raises:
        DatabaseError: the database does not answer.
    """
    parsed = parse_pack(directory, registered_runtimes(database))
    if parsed.pack is None:
        return parsed
    problems = tuple(problem for rule in parsed.pack.rules for problem in rule_problems(rule))
    return dataclasses.replace(parsed, pack=None, problems=problems) if problems else parsed


def rule_problems(rule: PackRule) -> Iterator[Problem]:
    """Yield what is wrong with the condition and the parameters of a rule; each names the rule and the place (pure)."""
    for wrong, line in (
        (conditions.problem(rule.conditions), rule.condition_line),
        (templates.problem(rule.action_params), rule.parameters_line),
    ):
        if wrong:
            key, _, message = wrong.partition(": ")
            yield Problem(rule.source, line, key, f"{message} (rule {rule.ref})")
