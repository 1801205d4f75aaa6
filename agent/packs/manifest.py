"""Reads ``pack.yaml``."""

from __future__ import annotations

from agent.packs.mapping_reader import MappingReader
from agent.packs.model import Manifest
from agent.packs.references import wrong_pack_ref, wrong_pack_version

_FOR_OTHERS = (
    "author",
    "email",
    "enabled",
    "license",
    "homepage",
    "repository",
    "documentation",
    "installers",
    "testing",
    "dashboard",
    "dashboards",
    "worker_selector",
    "worker_tolerations",
    "worker_affinity",
)


def read_manifest(fields: MappingReader) -> Manifest:
    """Read the keys of ``pack.yaml``; what is missing or wrong has been noted and has a harmless value."""
    ref = fields.required_text("ref")
    wrong = wrong_pack_ref(ref) if ref else None
    if wrong:
        fields.complain("ref", wrong)
    version = fields.required_text("version")
    wrong = wrong_pack_version(version) if version else None
    if wrong:
        fields.complain("version", wrong)
    fields.ignore(*_FOR_OTHERS)
    manifest = Manifest(
        ref=ref,
        label=fields.text("label", "name") or ref,
        version=version,
        description=fields.text("description"),
        conf_schema=fields.mapping("conf_schema", "config_schema") or {},
        config=fields.mapping("config") or {},
        meta=fields.mapping("meta") or {},
        tags=fields.texts("tags", "keywords"),
        runtime_deps=fields.texts("runtime_deps"),
        dependencies=fields.texts("dependencies"),
        is_standard=fields.flag("is_standard") or fields.flag("system"),
    )
    for name in ("worker_selector", "worker_tolerations", "worker_affinity"):
        if fields.has(name):
            fields.warn(name, "is not supported for a whole pack; set it in each action and sensor")
    fields.finish()
    return manifest
