"""The one-file agent by download: for containers that have no init container to bring it."""

from __future__ import annotations

import hmac
import logging
from pathlib import Path
from typing import Any

from msgspec import Struct

from agent import __version__
from agent.paths import shipped
from agent.reading.regular_files import NoRegularFile
from agent.server.call import Answer, Call
from agent.server.opened_file import OpenedFile, open_file
from agent.server.problems import Problem
from agent.server.route import PUBLIC, Route

ARCHITECTURES = ("x86_64", "aarch64")
#: The names that Debian and Docker give them; files may have either.
_OTHER_NAMES = {"amd64": "x86_64", "arm64": "aarch64"}
_CACHE = "public, max-age=3600"
_log = logging.getLogger(__name__)


class BinaryQuery(Struct, kw_only=True):
    """Which of the agents."""

    arch: str = "x86_64"


def binary(call: Call) -> Answer:
    """Send the agent for one architecture to whoever shows the bootstrap token."""
    expected = call.settings.agent.bootstrap_token
    if not expected:
        return _refusal(503, "Agent downloads disabled", "agent.bootstrap_token is not set on the server")
    shown = call.headers.get("x-agent-token")
    if shown is None:
        return _refusal(401, "Token required", "send the bootstrap token in the header X-Agent-Token")
    if not hmac.compare_digest(shown.encode(), expected.encode()):
        return _refusal(401, "Invalid token", "this is not the server's agent.bootstrap_token")
    arch = _OTHER_NAMES.get(call.query.arch, call.query.arch)
    if arch not in ARCHITECTURES:
        return _refusal(400, "Invalid architecture", f"there are {', '.join(ARCHITECTURES)}")
    try:
        file = _opened(call.settings.agent.binary_dir, arch)
    except FileNotFoundError:
        return _refusal(404, "Not found", f"this server has no agent for {arch}")
    except OSError as error:
        _log.error("the agent for %s can't be sent: %s", arch, error)
        return _refusal(500, "Internal error", "the agent's file can't be read; the server's log says why")
    if file.is_named_by(call.headers.get("if-none-match", "")):
        file.close()
        return Answer(None, 304, {"ETag": file.etag, "Cache-Control": _CACHE})
    return Answer(
        file, headers={"Cache-Control": _CACHE}, media_type="application/octet-stream", file_name="attune-agent"
    )


def script(call: Call) -> Answer:
    """Send the script that fetches the agent and becomes it; there is nothing secret in it."""
    try:
        file = open_file(shipped("download") / "attune-agent.sh")
    except OSError as error:
        _log.error("the script can't be sent: %s", error)
        raise Problem.not_found("this server has no script") from None
    return Answer(file, headers={"Cache-Control": _CACHE}, media_type="text/x-shellscript", file_name="attune-agent.sh")


def info(call: Call) -> Answer:
    """Say which agents this server has."""
    if not call.settings.agent.bootstrap_token:
        return _refusal(503, "Not configured", "agent.bootstrap_token is not set on the server")
    found = [_described(call.settings.agent.binary_dir, arch) for arch in ARCHITECTURES]
    return Answer({"architectures": found, "version": __version__})


def _opened(directory: Path, arch: str) -> OpenedFile:
    """Open the agent for one architecture. Raises FileNotFoundError where there is none, OSError."""
    names = [f"attune-agent-{name}" for name in (arch, *(other for other, one in _OTHER_NAMES.items() if one == arch))]
    if arch == "x86_64":
        names.append("attune-agent")
    for name in names:
        try:
            return open_file(directory / name)
        except (FileNotFoundError, NotADirectoryError, NoRegularFile):
            continue
    raise FileNotFoundError(f"no agent for {arch} in {directory}")


def _described(directory: Path, arch: str) -> dict[str, Any]:
    try:
        file = _opened(directory, arch)
    except OSError:
        return {"arch": arch, "size_bytes": 0, "available": False}
    file.close()
    return {"arch": arch, "size_bytes": file.found.st_size, "available": True, "sha256": file.sha256}


def _refusal(status: int, error: str, message: str) -> Answer:
    return Answer({"error": error, "message": message}, status)


ROUTES = (
    Route(
        "GET",
        "/api/v1/agent/binary",
        binary,
        "The one-file agent; the header X-Agent-Token proves that one may have it",
        PUBLIC,
        query=BinaryQuery,
        bare=True,
        errors=(206, 304, 400, 401, 404, 416, 500, 503),
        tag="agent",
    ),
    Route(
        "GET",
        "/api/v1/agent/info",
        info,
        "Which agents there are, with their digests",
        PUBLIC,
        answer=dict,
        bare=True,
        errors=(503,),
        tag="agent",
    ),
    Route(
        "GET",
        "/api/v1/agent/script",
        script,
        "The script that fetches the agent and becomes it",
        PUBLIC,
        bare=True,
        errors=(206, 404, 416),
        tag="agent",
    ),
)
