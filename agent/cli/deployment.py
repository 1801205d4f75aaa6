"""What an operator's command works on: settings, database and broker, each opened when it is needed."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from agent.cli.api_choice import chosen_api
from agent.configuration import Loaded, load_settings
from agent.control.outbox import is_broker
from agent.control.submission import Send
from agent.db.pool import Database
from agent.errors import AgentError
from agent.logs import add_secret, configure_logging
from agent.mq.broker import Broker
from agent.operations.interface import Operations
from agent.settings import Settings


class Deployment:
    """What ``attune`` works on; nothing is read or connected before it is asked for."""

    def __init__(self, config: Path | None, *, api: str | None = None, database_only: bool = False) -> None:
        """Remember what the command line says: a file of settings, an API to ask, or not to ask any."""
        self._config = config
        self.api = api
        self.database_only = database_only

    @functools.cached_property
    def loaded(self) -> Loaded:
        """The settings; logs are for a person and only tell of trouble, unless the level was set.

        Raises:
            ConfigurationError: see ``load_settings``.
        """
        loaded = load_settings(os.environ, config=self._config)
        add_secret(loaded.settings.security.jwt_secret)
        for key in loaded.settings.security.decryption_keys:
            add_secret(key)
        level = loaded.settings.log.level if loaded.sources["log.level"] != "default" else "warn"
        configure_logging(level, "pretty", colour=sys.stderr.isatty() and "NO_COLOR" not in os.environ)
        for warning in loaded.warnings:
            print(f"attune: warning: {warning}", file=sys.stderr)
        return loaded

    @property
    def settings(self) -> Settings:
        """The settings. Raises ConfigurationError."""
        return self.loaded.settings

    @contextlib.contextmanager
    def operations(self) -> Iterator[Operations]:
        """Lend what commands work with: the API that was named or logged in to, else the database.

        An error that leaves the block names which of them was asked.
        """
        with contextlib.ExitStack() as stack:
            transport = chosen_api(self.api, database_only=self.database_only)
            operations: Operations
            if transport is not None:
                from agent.client.api_operations import ApiOperations

                operations = ApiOperations(transport)
            else:
                from agent.operations.direct import DirectOperations

                operations = DirectOperations(stack.enter_context(self.database()), self)
            try:
                yield operations
            except AgentError as error:
                error.place = operations.place
                raise

    @contextlib.contextmanager
    def database(self) -> Iterator[Database]:
        """Lend the database for the length of the block."""
        database = Database(self.loaded.settings.database, application_name="attune")
        try:
            yield database
        finally:
            database.close()

    @functools.cached_property
    def broker_settings(self) -> Settings:
        """The settings; where they name no broker and the database is one already, it is meant.

        Raises:
            DatabaseError: it can't be asked.
        """
        settings = self.loaded.settings
        if settings.message_queue.url:
            return settings
        with self.database() as database, database.connection() as connection:
            if not is_broker(connection):
                return settings
        return dataclasses.replace(settings, message_queue=dataclasses.replace(settings.message_queue, url="database"))

    def broker(self) -> Broker:
        """Return the broker of the settings, not connected yet. Raises ConfigurationError."""
        from agent.mq.connect import open_broker

        return open_broker(self.broker_settings, name="attune")

    @contextlib.contextmanager
    def sender(self) -> Iterator[Send]:
        """Lend a function that publishes one message and returns when the broker has it."""
        from agent.control.sending import sender  # only the commands that publish import a broker's library

        with sender(self.broker_settings, name="attune") as send:
            yield send
