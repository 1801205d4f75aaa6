"""The files of artifacts, for workers that share no volume with the server: written in pieces, finished, read."""

from __future__ import annotations

import re

from agent.server.call import Answer, Call
from agent.server.file_problems import OFFSET, tried
from agent.server.opened_file import opened
from agent.server.problems import Problem
from agent.server.route import Route
from agent.server.stored_files import StoredFiles, refused_path

_WORKER = frozenset(("worker",))
_DIGEST = re.compile(r"[0-9a-f]{64}")


def read(call: Call) -> Answer:
    """Send a file."""
    path = _path(call)
    return tried(lambda: Answer(opened(_files(call).to_read(path)), media_type="application/octet-stream"), path)


def append(call: Call) -> Answer:
    """Add a piece to a file: at ``Upload-Offset``, or at its end where none is given."""
    path, shown = _path(call), call.headers.get(OFFSET)
    offset = None if shown is None else _number(shown, OFFSET)

    def write() -> Answer:
        size = _files(call).append(path, call.content, offset)
        return Answer(None, 204, {OFFSET: str(size)})

    return tried(write, path)


def put(call: Call) -> Answer:
    """Make a whole file: of the body, or of ``Upload-Source``, which was sent in pieces.

    ``X-Checksum-Sha256`` says what it must be; ``Upload-Alias`` names a path that is to lead to it from now on.
    """
    path, files = _path(call), _files(call)
    digest = call.headers.get("X-Checksum-Sha256")
    if digest is not None and not _DIGEST.fullmatch(digest):
        raise Problem.bad("X-Checksum-Sha256 must have 64 hexadecimal digits")
    source, alias = (_named(call, name) for name in ("Upload-Source", "Upload-Alias"))

    def write() -> Answer:
        if source is None:
            files.put(path, call.content, digest)
        elif digest is None:
            raise Problem.bad("Upload-Source needs X-Checksum-Sha256")
        else:
            files.finish(source, path, _number(call.headers.get("Upload-Length", ""), "Upload-Length"), digest)
        if alias is not None:
            files.alias(alias, path)
        return Answer(None, 201)

    return tried(write, path)


def delete(call: Call) -> Answer:
    """Remove a file."""
    path = _path(call)
    if not tried(lambda: _files(call).delete(path), path):
        raise Problem.not_found(f"there is no file {path}")
    return Answer(None, 204)


def _files(call: Call) -> StoredFiles:
    return StoredFiles(call.settings.artifacts_dir, call.settings.artifacts.max_upload_size)


def _path(call: Call) -> str:
    path: str = call.path["path"]
    if (why := refused_path(path)) is not None:
        raise Problem.bad(why)
    return path


def _named(call: Call, header: str) -> str | None:
    path = call.headers.get(header)
    if path is not None and (why := refused_path(path)) is not None:
        raise Problem.bad(f"{header}: {why}")
    return path


def _number(text: str, header: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Problem.bad(f"{header} must be a whole number")
    return int(text)


_PATH = "/api/v1/internal/files/{path:path}"
ROUTES = (
    Route("GET", _PATH, read, "Read a file of an artifact", _WORKER, bare=True, audited=False,
          errors=(206, 304, 400, 404, 409, 416, 503), tag="files"),
    Route("HEAD", _PATH, read, "Ask how much of a file there is", _WORKER, bare=True, audited=False,
          errors=(304, 400, 404, 409, 503), tag="files"),
    Route("PATCH", _PATH, append, "Add a piece to a file", _WORKER, bare=True, audited=False, content=True,
          status=204, errors=(400, 404, 409, 413, 503, 507), tag="files"),
    Route("PUT", _PATH, put, "Write a whole file, or finish one that was sent in pieces", _WORKER, bare=True,
          audited=False, content=True, status=201, errors=(400, 404, 409, 413, 422, 503, 507), tag="files"),
    Route("DELETE", _PATH, delete, "Remove a file", _WORKER, bare=True, audited=False, status=204,
          errors=(400, 404, 409, 503), tag="files"),
)  # fmt: skip
