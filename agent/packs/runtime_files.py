"""Reads one file of ``runtimes/``; ``agent.runtimes`` knows what it means, here complaints get their lines."""

from __future__ import annotations

import re

import yaml

from agent.errors import PackError
from agent.packs.document import Document
from agent.packs.mapping_reader import MappingReader
from agent.packs.references import wrong_runtime_ref
from agent.runtimes.definition import RuntimeDefinition, runtime_from_yaml

_KEYS = (
    "ref",
    "pack_ref",
    "name",
    "description",
    "aliases",
    "distributions",
    "installation",
    "installers",
    "execution_config",
    "versions",
    "tags",
    "meta",
)
# A complaint begins with the path of a key; of a nested value with that of the outer one, a colon, and its own.
_KEY = r"[A-Za-z_]\w*(?:\.\w+|\[\d+\])*"
_PATH = re.compile(rf"({_KEY})(?:: ({_KEY}))? (?=must|is|has)")
_STEP = re.compile(r"\w+")


def read_runtime(fields: MappingReader, pack_ref: str) -> RuntimeDefinition | None:
    """Read a runtime; None when there are problems that leave nothing to go on with."""
    document = fields.document
    ref = fields.required_text("ref")
    wrong = wrong_runtime_ref(ref, pack_ref) if ref else None
    if wrong:
        fields.complain("ref", wrong)
    _check_versions(fields)
    fields.ignore(*_KEYS)
    fields.finish()
    if not ref:
        return None
    value = document.value(fields.node, "")
    try:
        definition = runtime_from_yaml(value)
    except PackError as error:
        _complain(document, fields.node, str(error))
        return None
    return definition


def _check_versions(fields: MappingReader) -> None:
    """YAML reads an unquoted 3.10 as the number 3.1: such a version has lost its meaning already."""
    seen: dict[str, int] = {}
    for entry in fields.sections("versions"):
        version = entry.required_text("version")
        if version in seen:
            entry.complain("version", f"{version} is defined twice; the first definition is in line {seen[version]}")
        elif version:
            seen[version] = entry.line("version")
        entry.ignore("is_default", "distributions", "execution_config", "meta", "description")
        entry.finish()


def _complain(document: Document, root: yaml.MappingNode, message: str) -> None:
    """Note a message that begins with the path of a key at the line of that key."""
    match = _PATH.match(message)
    path = ".".join(part for part in match.groups() if part) if match else ""
    node: yaml.Node = root
    line_node: yaml.Node = root
    for step in _STEP.findall(path):
        if isinstance(node, yaml.SequenceNode) and step.isdigit() and int(step) < len(node.value):
            line_node = node = node.value[int(step)]
        elif isinstance(node, yaml.MappingNode) and step in (entries := document.entries(node, "")):
            line_node, node = entries[step]
        else:
            break
    document.complain(line_node, path, message[match.end() :] if match else message)
