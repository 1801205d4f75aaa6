"""``attune artifact``: what executions leave behind: list, show, download."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from agent.cli.completion import complete
from agent.cli.deployment import Deployment
from agent.cli.saved_file import Saved, save
from agent.cli.tables import ago, print_details, print_json, print_table, size
from agent.cli.terminal_filter import TerminalFilter
from agent.control.artifact_files import file_name
from agent.errors import AgentError, NotFound
from agent.operations.interface import Artifacts

TYPES = ("file_binary", "file_datatable", "file_image", "file_text", "other", "progress", "url")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
FORCE = click.option("--force", is_flag=True, help="Replace files that are there with other content.")


@click.group()
def artifact() -> None:
    """List, show and download artifacts."""


@artifact.command("list")
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(1), help="Number of artifacts.")
@click.option("--owner", metavar="REF", help="Only those of this pack, action, sensor or identity.")
@click.option("--type", "kind", type=click.Choice(TYPES), help="Only those of this type.")
@click.option("--name", metavar="TEXT", help="Only those whose name has this in it.")
@click.option("--execution", type=int, metavar="ID", help="Only those with a version of this execution.")
@_json
@click.pass_obj
def list_all(
    deployment: Deployment,
    limit: int,
    owner: str | None,
    kind: str | None,
    name: str | None,
    execution: int | None,
    as_json: bool,
) -> None:
    """List the newest artifacts."""
    with deployment.operations() as operations:
        found = operations.artifacts.newest(limit=limit, owner=owner, type=kind, name=name, execution=execution)
    if as_json:
        print_json(found)
        return
    print_table(
        ["ID", "REF", "TYPE", "OWNER", "SIZE", "UPDATED"],
        (
            [one["id"], one["ref"], one["type"], one["owner"], size(one["size_bytes"]), ago(one["updated"])]
            for one in found
        ),
        empty="no artifacts",
    )


@artifact.command()
@click.argument("named", metavar="ID_OR_REF", shell_complete=complete("artifact"))
@_json
@click.pass_obj
def show(deployment: Deployment, named: str, as_json: bool) -> None:
    """Show an artifact and its versions."""
    with deployment.operations() as operations:
        found = operations.artifacts.find(named)
    if as_json:
        print_json(found)
        return
    kept = f"{found['retention_limit']} {found['retention_policy']}"
    print_details(
        [
            ("Artifact", found["id"]),
            ("Ref", found["ref"]),
            ("Name", found["name"]),
            ("Description", found["description"]),
            ("Type", found["type"]),
            ("Content type", found["content_type"]),
            ("Owner", f"{found['scope']} {found['owner']}".strip()),
            ("Visibility", found["visibility"]),
            ("Kept", kept),
            ("Data", None if found["data"] is None else json.dumps(found["data"], indent=2, ensure_ascii=False)),
        ]
    )
    print_table(
        ["VERSION", "SIZE", "EXECUTION", "BY", "CREATED"],
        (
            [one["version"], size(one["size_bytes"]), one["execution"], one["created_by"], ago(one["created"])]
            for one in found["versions"]
        ),
        empty="it has no version",
    )


@artifact.command()
@click.argument("named", metavar="ID_OR_REF", shell_complete=complete("artifact"))
@click.option("--version", type=click.IntRange(1), metavar="N", help="This version; the latest by default.")
@click.option("-o", "--output", metavar="PATH", help="A file, a directory, or - for standard output; default: here.")
@FORCE
@_json
@click.pass_obj
def download(
    deployment: Deployment, named: str, version: int | None, output: str | None, force: bool, as_json: bool
) -> None:
    """Save the bytes of a version; one that broke off goes on where it ended."""
    with deployment.operations() as operations:
        found = operations.artifacts.find(named)
        chosen = _version(found, version)
        if output == "-":
            print_content(operations.artifacts, found["id"], chosen["version"])
            return
        name = file_name(found["ref"], chosen["version"], chosen["file_path"])
        saved = saved_as(operations.artifacts, found["id"], chosen["version"], _place(output, name), force=force)
    document = {"ref": found["ref"], "version": chosen["version"], **as_document(saved)}
    if as_json:
        print_json(document)
    else:
        click.echo(sentence(saved))


def saved_as(artifacts: Artifacts, artifact_id: int, version: int, path: Path, *, force: bool) -> Saved:
    """Save a version as ``path``. Raises AgentError."""
    content = artifacts.content(artifact_id, version)
    try:
        return save(content, path, replace=force)
    finally:
        content.close()


def as_document(saved: Saved) -> dict[str, Any]:
    """Return what a command prints as JSON of a file that was saved."""
    return {"path": saved.path, "size_bytes": saved.size, "sha256": saved.sha256, "fresh": saved.fresh}


def sentence(saved: Saved) -> str:
    """Say what became of a file."""
    return f"{'saved' if saved.fresh else 'there already:'} {saved.path} ({size(saved.size)})"


def print_content(artifacts: Artifacts, artifact_id: int, version: int) -> None:
    """Write the bytes to standard output as they come. Raises AgentError."""
    content = artifacts.content(artifact_id, version)
    digest = hashlib.sha256()
    try:
        shown = TerminalFilter() if sys.stdout.isatty() else None
        for chunk in content.read_from(0):
            digest.update(chunk)
            sys.stdout.buffer.write(chunk if shown is None else shown.feed(chunk))
        if shown is not None:
            sys.stdout.buffer.write(shown.finish())
        sys.stdout.buffer.flush()
        if digest.hexdigest() != content.sha256:
            raise AgentError("what came has another digest than was promised", hint="do not use what was printed")
    finally:
        content.close()


def with_names(versions: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Give each version the name that it is saved under, none of them twice."""
    used: set[str] = set()
    for one in versions:
        name = file_name(one["ref"], one["version"], one["file_path"])
        if name in used:  # two refs that differ in characters that no name has
            name = f"{one['id']}.{name}"
        used.add(name)
        yield one, name


def _version(found: Mapping[str, Any], wanted: int | None) -> Mapping[str, Any]:
    for one in found["versions"]:
        if wanted is None or one["version"] == wanted:
            return dict(one)
    raise NotFound("it has no version" if wanted is None else f"it has no version {wanted}")


def _place(output: str | None, name: str) -> Path:
    if output is None:
        return Path(name)
    path = Path(output)
    if output.endswith("/") or path.is_dir():
        return folder(path) / name
    return path


def folder(path: Path) -> Path:
    """Make a directory for what is saved. Raises AgentError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AgentError(f"can't make {path}: {error.strerror}") from error
    return path
