"""``attune login``, ``logout`` and ``whoami``: which API is asked, and as whom."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO

import click

from agent.cli.api_choice import chosen_api, login_file
from agent.cli.deployment import Deployment
from agent.cli.secret_input import read_secret
from agent.cli.tables import print_details, print_json
from agent.errors import AgentError
from agent.logs import escape_control


@click.command()
@click.argument("url")
@click.option("--user", "-u", metavar="LOGIN", help="As whom; asked for on a terminal.")
@click.option("--password-file", type=click.File("r"), help="Read the password from a file, - for standard input.")
@click.option("--token-file", type=click.File("r"), help="Log in with a program's token (attune_it_...) from a file.")
@click.option(
    "--ca-file", type=click.Path(exists=True, dir_okay=False), help="Certificate authorities to check the API with."
)
def login(
    url: str, user: str | None, password_file: IO[str] | None, token_file: IO[str] | None, ca_file: str | None
) -> None:
    """Log in to the API at URL; from now on commands ask it instead of a database.

    The log-in is kept in attune/login.json below $XDG_CONFIG_HOME (~/.config), readable by you only.
    """
    from agent.client.address import api_url, readable_by_others
    from agent.client.session import log_in
    from agent.client.transport import Transport

    place = api_url(url)
    if readable_by_others(place):
        print(f"attune: warning: {place} is not encrypted: others on the network can read along", file=sys.stderr)
    kept = str(Path(ca_file).resolve()) if ca_file else None
    transport = Transport(place, ca_file=kept)
    try:
        if token_file is not None:
            made = log_in(transport, token=read_secret(token_file, "Token"), ca_file=kept)
        else:
            name = user or click.prompt("Login", err=True)
            made = log_in(transport, login=name, password=read_secret(password_file, "Password"), ca_file=kept)
    except AgentError as error:
        error.place = f"the API at {place}"
        error.hint = None if error.hint == "log in: attune login URL" else error.hint
        raise
    file = login_file()
    file.write(made)
    click.echo(f"logged in to {place} as {escape_control(made.login)}")


@click.command()
def logout() -> None:
    """End the log-in, here and at the server; commands ask the database again."""
    from agent.client.session import log_out
    from agent.client.transport import Transport

    file = login_file()
    try:
        kept = file.read()
    except AgentError:
        kept = None
        file.forget()
    if kept is None:
        click.echo("nobody was logged in")
        return
    file.forget()
    try:
        log_out(Transport(kept.url, ca_file=kept.ca_file), kept)
    except AgentError as error:
        print(f"attune: warning: the log-in is forgotten here, but not at {kept.url}: {error}", file=sys.stderr)
    click.echo(f"logged out of {kept.url}")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def whoami(deployment: Deployment, as_json: bool) -> None:
    """Say which API or database commands ask, and as whom."""
    transport = chosen_api(deployment.api, database_only=deployment.database_only)
    if transport is None:
        with deployment.database() as database:
            label = database.address.label
        if as_json:
            print_json({"asks": "database", "place": label})
        else:
            print_details([("Asks", f"the database at {label}")])
        return
    try:
        found = transport.ask("GET", "/auth/me")
    except AgentError as error:
        error.place = f"the API at {transport.url}"
        raise
    sets = found.get("assigned_permission_set_refs") or []
    if as_json:
        names = ("login", "display_name", "assigned_permission_set_refs")
        print_json({"asks": "api", "place": transport.url, **{name: found.get(name) for name in names}})
        return
    print_details(
        [
            ("Asks", f"the API at {transport.url}"),
            ("Login", found.get("login")),
            ("Name", found.get("display_name")),
            ("Permission sets", ", ".join(map(str, sets)) or None),
        ]
    )
