"""What a slot hands over when an execution is over: everything the row, the log artifacts and the messages need."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple

from agent.reading.json_text import read_json


@dataclass(frozen=True, slots=True)
class LogFile:
    """One stream's complete log, at ``path``, to be recorded as a new version of the artifact ``ref``.

    ``inode`` is the device and number of the file that was written; None in what an older agent left on disk.
    ``file_path`` is where the server keeps it; None where it is given a name on a shared volume when it is recorded.
    ``left`` says that an earlier process wrote it: what became of it since is unknown, so it must have no other name.
    """

    stream: str
    ref: str
    path: str
    size_bytes: int
    policy: str
    limit: int
    inode: tuple[int, int] | None = None
    left: bool = False
    file_path: str | None = None


class AllocatedFile(NamedTuple):
    """A version that an action made through the API: its id, its artifact's, its execution's, its path below the
    artifacts; ``size_bytes`` is None where its file was to be written by the action itself."""

    id: int
    artifact: int
    execution: int
    file_path: str
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class SecretValue:
    """One value of the result that the action's schema declares secret, encrypted already."""

    json_path: str
    source_ref: str
    value: Any
    key_hash: str


@dataclass(frozen=True, slots=True)
class Report:
    """The end of one execution. ``result`` is masked and redacted: it may be stored, published and spooled.

    ``runtime`` is the name and version of what ran it, for the log: it is not spooled.
    """

    execution_id: int
    action_id: int | None
    action_ref: str
    status: str
    result: Mapping[str, Any]
    logs: tuple[LogFile, ...] = ()
    secrets: tuple[SecretValue, ...] = ()
    wants_stderr_log: bool = False
    runtime: str | None = None

    def to_json(self) -> str:
        """Encode for the spool, in what older agents read as well: an own log is not ``left``."""
        data = {name: value for name, value in asdict(self).items() if name != "runtime"}
        later = ("left", "file_path")
        data["logs"] = [
            {name: value for name, value in log.items() if name not in later or value} for log in data["logs"]
        ]
        return json.dumps(data)

    @classmethod
    def from_json(cls, text: str) -> Report:
        """Decode what ``to_json`` made. Raises ValueError, KeyError or TypeError where it is damaged."""
        data = read_json(text)
        data["logs"] = tuple(_log_file(log) for log in data["logs"])
        data["secrets"] = tuple(SecretValue(**secret) for secret in data["secrets"])
        return cls(**data)


def _log_file(log: dict[str, Any]) -> LogFile:
    inode = log.pop("inode", None)
    return LogFile(**log, inode=None if inode is None else (int(inode[0]), int(inode[1])))


@dataclass(frozen=True, slots=True)
class Finished:
    """A report that was written: the row's status before, when it was written, and the result as stored."""

    report: Report
    previous_status: str
    updated: datetime
    result: Mapping[str, Any]
