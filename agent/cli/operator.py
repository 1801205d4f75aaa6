"""``attune``, the operator's command: its groups, and how its errors end."""

from __future__ import annotations

import difflib
import importlib
import sys
from pathlib import Path

import click

from agent import __version__
from agent.cli.edge import INTERRUPTED, guarded
from agent.errors import AgentError, UsageError

_COMMANDS = {
    "db": "agent.cli.database:database",
    "pack": "agent.cli.pack:pack",
    "run": "agent.cli.run:run",
    "action": "agent.cli.action:action",
    "key": "agent.cli.key:key",
    "execution": "agent.cli.execution:execution",
    "artifact": "agent.cli.artifact:artifact",
    "rule": "agent.cli.rule:rule",
    "trigger": "agent.cli.trigger:trigger",
    "event": "agent.cli.event:event",
    "sensor": "agent.cli.sensor:sensor",
    "worker": "agent.cli.worker:worker",
    "runtime": "agent.cli.runtime:runtime",
    "env": "agent.cli.env:env",
    "prune": "agent.cli.prune:prune",
    "settings": "agent.cli.settings:settings",
    "server": "agent.cli.server:server",
    "identity": "agent.cli.identity:identity",
    "login": "agent.cli.login:login",
    "logout": "agent.cli.login:logout",
    "whoami": "agent.cli.login:whoami",
    "demo": "agent.cli.demo:demo",
    "up": "agent.cli.up:up",
    "down": "agent.cli.up:down",
}


class _Commands(click.Group):
    """Imports a command when it is asked for: ``attune run`` needs nothing of ``attune demo``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name them in the order in which a newcomer needs them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        try:
            command = getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] == "agent":
                raise
            raise AgentError(
                f"attune needs the Python package {error.name}", hint="pip install 'attune-agent[operator]'"
            ) from error
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See the base class, which can name the nearest command only where all are imported."""
        close = difflib.get_close_matches(args[0], _COMMANDS, n=1)
        if args[0] not in _COMMANDS and close and not args[0].startswith("-"):
            raise click.UsageError(f"No such command '{args[0]}'. Did you mean '{close[0]}'?", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", prog_name="attune", message="%(prog)s %(version)s")
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    help="Configuration file; default $ATTUNE_CONFIG, else /opt/attune/config/config.yaml if it exists.",
)
@click.option("--api", metavar="URL", help="Ask this API instead of the one of `attune login`, or of the database.")
@click.option("--database", "database_only", is_flag=True, help="Ask the database, whoever is logged in.")
@click.pass_context
def attune(ctx: click.Context, config: Path | None, api: str | None, database_only: bool) -> None:
    """Run actions on Attune's workers, and look after workers, runtimes and packs.

    Every setting can come from the environment, e.g. ATTUNE__DATABASE__URL and ATTUNE__MESSAGE_QUEUE__URL;
    `attune settings` shows each value and where it came from.

    After `attune login URL`, or with --api URL, most commands ask that API instead and need no settings; db, server,
    env, prune, settings and demo always work on this machine and its database.
    """
    from agent.cli.deployment import Deployment

    ctx.obj = Deployment(config, api=api, database_only=database_only)


def main() -> None:
    """Entry point of ``attune``; exits."""
    sys.exit(guarded("attune", lambda: run(sys.argv[1:])))


def run(words: list[str]) -> int:
    """Do what the words after ``attune`` ask for; return the exit code."""
    try:
        code = attune.main(words, prog_name="attune", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return UsageError.exit_code
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx is not None else "attune"
        raise UsageError(error.format_message().rstrip("."), hint=f"see: {path} --help") from error
    except click.ClickException as error:
        raise UsageError(error.format_message()) from error
    except click.Abort:
        print("attune: interrupted", file=sys.stderr)
        return INTERRUPTED
    return code if isinstance(code, int) else 0
