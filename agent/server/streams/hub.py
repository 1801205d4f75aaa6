"""What live views share in one process: one connection that listens, one thread that looks at logs."""

from __future__ import annotations

from agent.db.clock import DatabaseClock
from agent.db.pool import Database
from agent.server.streams.execution_changes import Changes
from agent.server.streams.log_source import LogReadings
from agent.server.streams.sse import OpenStreams
from agent.server.streams.tails import LogTails
from agent.settings import Settings
from agent.threads import ThreadGroup


class Hub:
    """The streams of this process."""

    def __init__(self, database: Database, settings: Settings, clock: DatabaseClock) -> None:
        """Prepare; ``start`` runs its threads."""
        server = settings.server
        self.open = OpenStreams(database, clock, per_identity=server.streams_per_identity, in_all=server.streams)
        self.changes = Changes(database, clock)
        self.tails = LogTails(database, settings.artifacts_dir)
        self.readings = LogReadings()
        self.changes.ended = self.tails.ended
        self.changes.log_followers = self.tails.__len__

    def start(self, threads: ThreadGroup) -> None:
        """Start listening and looking."""
        threads.start("stream-changes", self.changes.run)
        threads.start("stream-logs", self.tails.run)

    def stop(self) -> None:
        """End the threads soon."""
        self.changes.stop()
        self.tails.stop()
