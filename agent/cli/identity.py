"""``attune identity``: accounts for the API."""

from __future__ import annotations

from typing import IO

import click

from agent.cli.completion import complete
from agent.cli.deployment import Deployment
from agent.cli.secret_input import read_secret
from agent.cli.tables import ago, print_json, print_table

_ADMIN = "core.admin"
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def identity() -> None:
    """Make, list and freeze the accounts that log in to the API."""


@identity.command()
@click.argument("login", shell_complete=complete("login"))
@click.option("--admin", is_flag=True, help="Give it the permission set core.admin.")
@click.option("--set", "sets", multiple=True, metavar="REF", help="Give it a permission set; may be repeated.")
@click.option("--display-name", help="What people call it.")
@click.option("--password-file", type=click.File("r"), help="Read the password from a file, - for standard input.")
@click.option("--no-password", is_flag=True, help="Nobody logs in to it with a password.")
@_json
@click.pass_obj
def create(
    deployment: Deployment,
    login: str,
    admin: bool,
    sets: tuple[str, ...],
    display_name: str | None,
    password_file: IO[str] | None,
    no_password: bool,
    as_json: bool,
) -> None:
    """Make the account LOGIN; its password is asked for, or read from a file or standard input."""
    password = None if no_password else read_secret(password_file, "Password", confirm=True)
    refs = [*sets, *([_ADMIN] if admin else [])]
    with deployment.operations() as operations:
        made = operations.accounts.create(login, password, display_name, refs)
    if as_json:
        print_json({"id": made, "login": login, "permission_sets": refs})
    else:
        click.echo(f"made {login} (id {made})" + (f" with {', '.join(refs)}" if refs else " without any permission"))


@identity.command("list")
@_json
@click.pass_obj
def list_identities(deployment: Deployment, as_json: bool) -> None:
    """List the accounts."""
    with deployment.operations() as operations:
        found = operations.accounts.all()
    if as_json:
        print_json(found)
        return
    print_table(
        ["ID", "LOGIN", "NAME", "PERMISSION SETS", "STATE", "MADE"],
        (
            [one.id, one.login, one.display_name, ", ".join(one.sets), "frozen" if one.frozen else "", ago(one.created)]
            for one in found
        ),
        empty="there is no account yet; make the first one with: attune identity create --admin LOGIN",
    )


@identity.command("set-password")
@click.argument("login", shell_complete=complete("login"))
@click.option("--password-file", type=click.File("r"), help="Read the password from a file, - for standard input.")
@click.pass_obj
def set_password(deployment: Deployment, login: str, password_file: IO[str] | None) -> None:
    """Give an account another password; its log-ins end."""
    password = read_secret(password_file, "New password", confirm=True)
    with deployment.operations() as operations:
        operations.accounts.set_password(login, password)
    click.echo(f"{login} has another password; it must log in again")


@identity.command()
@click.argument("login", shell_complete=complete("login"))
@click.option("--undo", is_flag=True, help="Let it log in again.")
@click.pass_obj
def freeze(deployment: Deployment, login: str, undo: bool) -> None:
    """Let an account do nothing more, at once."""
    with deployment.operations() as operations:
        operations.accounts.freeze(login, frozen=not undo)
    click.echo(f"{login} is {'active again' if undo else 'frozen'}")
