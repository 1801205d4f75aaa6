"""``attune key``: stored secrets and settings, whose values never appear on a command line."""

from __future__ import annotations

import json
from typing import IO, Any

import click

from agent.cli.completion import complete
from agent.cli.deployment import Deployment
from agent.cli.secret_input import read_secret
from agent.cli.tables import ago, print_details, print_json, print_table
from agent.control.keystore import Owner
from agent.errors import UsageError
from agent.operations.interface import NewKey

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def key() -> None:
    """Store secrets and settings that actions get, list, show and delete them."""


@key.command("set")
@click.argument("ref", shell_complete=complete("key"))
@click.option("--file", "file", type=click.File("r"), help="Read the value from a file, - for standard input.")
@click.option("--pack", help="The key belongs to this pack; default: to the whole system.")
@click.option("--action", "action_ref", metavar="REF", help="The key belongs to this action.")
@click.option("--name", help="Under which an action gets it; default the last part of REF.")
@click.option("--as-json", "is_json", is_flag=True, help="The value is JSON, not text.")
@click.option("--plain", is_flag=True, help="Store it readable: it is no secret.")
@click.pass_obj
def set_key(
    deployment: Deployment,
    ref: str,
    file: IO[str] | None,
    pack: str | None,
    action_ref: str | None,
    name: str | None,
    is_json: bool,
    plain: bool,
) -> None:
    """Store the key REF, or give it another value; the value is asked for, or read from a file or standard input."""
    if pack and action_ref:
        raise UsageError("a key has one owner: --pack or --action")
    text = read_secret(file, "Value")
    owner = Owner("pack", pack) if pack else Owner("action", action_ref) if action_ref else Owner()
    wanted = NewKey(ref, _value(text) if is_json else text, name, owner, encrypted=not plain)
    with deployment.operations() as operations:
        new = operations.keys.store(wanted)
    click.echo(f"{'stored' if new else 'changed'} {ref}" + ("" if plain else ", encrypted"))


@key.command("list")
@_json
@click.pass_obj
def list_keys(deployment: Deployment, as_json: bool) -> None:
    """List the keys, without their values."""
    with deployment.operations() as operations:
        found = operations.keys.all()
    if as_json:
        print_json(found)
        return
    print_table(
        ["REF", "NAME", "OWNER", "ENCRYPTED", "CHANGED"],
        ([one["ref"], one["name"], _owner(one), one["encrypted"], ago(one["updated"])] for one in found),
        empty="there is no key; store one with: attune key set REF",
    )


@key.command()
@click.argument("ref", shell_complete=complete("key"))
@click.option("--reveal", is_flag=True, help="Decrypt the value and print it.")
@_json
@click.pass_obj
def show(deployment: Deployment, ref: str, reveal: bool, as_json: bool) -> None:
    """Show a key; the value of an encrypted one only with --reveal."""
    with deployment.operations() as operations:
        found = operations.keys.find(ref, reveal=reveal)
    if as_json:
        print_json(found)
        return
    hidden = found["encrypted"] and not reveal
    print_details(
        [
            ("Key", found["ref"]),
            ("Name", found["name"]),
            ("Owner", _owner(found)),
            ("Encrypted", found["encrypted"]),
            ("Value", "(hidden; --reveal shows it)" if hidden else found["value"]),
            ("Changed", ago(found["updated"])),
        ]
    )


@key.command()
@click.argument("ref", shell_complete=complete("key"))
@click.pass_obj
def delete(deployment: Deployment, ref: str) -> None:
    """Delete a key."""
    with deployment.operations() as operations:
        operations.keys.delete(ref)
    click.echo(f"deleted {ref}")


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        # Without the decoder's message: it quotes what may be a secret.
        raise UsageError(f"the value is not JSON (line {getattr(error, 'lineno', 1)})") from None


def _owner(found: dict[str, Any]) -> str:
    return "system" if found["owner_type"] == "system" else f"{found['owner_type']} {found['owner']}"
