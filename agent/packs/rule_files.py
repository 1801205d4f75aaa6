"""Reads one file of ``rules/``: which trigger starts which action, on what condition, with which parameters."""

from __future__ import annotations

from agent.packs.mapping_reader import MappingReader
from agent.packs.model import PackRule
from agent.packs.scope import Scope


def read_rule(fields: MappingReader, scope: Scope) -> PackRule:
    """Read a rule. The trigger and the action may be another pack's; a ref without a dot is this pack's."""
    ref = scope.component_ref(fields)
    fields.ignore("name", "tags", "meta", "notes", "documentation", "pack_ref")
    rule = PackRule(
        ref=ref,
        label=fields.text("label", "name") or ref.rpartition(".")[2].replace("_", " ").capitalize(),
        source=fields.document.file,
        trigger=_target(fields, scope, "trigger_ref", "trigger"),
        action=_target(fields, scope, "action_ref", "action"),
        description=fields.text("description"),
        enabled=fields.flag("enabled", default=True),
        conditions=_conditions(fields),
        action_params=fields.mapping("action_params", "parameters") or {},
        trigger_params=fields.mapping("trigger_params") or {},
        permission_set_refs=fields.texts("permission_set_refs") if fields.has("permission_set_refs") else None,
        condition_line=fields.line("conditions", "condition"),
        parameters_line=fields.line("action_params", "parameters"),
    )
    fields.finish()
    return rule


def _target(fields: MappingReader, scope: Scope, *names: str) -> str:
    found = fields.text(*names)
    if not found:
        if not fields.has(*names):
            fields.complain(names[0], "is missing")
        return ""
    return found if "." in found else f"{scope.ref}.{found}"


def _conditions(fields: MappingReader) -> object:
    """Read a list of comparisons, or a mapping with an expression; a text alone is an expression."""
    found = fields.find("conditions", "condition")
    if found is None:
        return []
    value = fields.document.value(found[1], found[0])
    if isinstance(value, str):
        return {"expression": value}
    if not isinstance(value, list | dict):
        fields.complain(found[0], "must be a list of comparisons, or a mapping with the key expression")
    return value
