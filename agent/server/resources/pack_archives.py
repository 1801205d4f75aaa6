"""The files of a pack, for workers that share no volume with the server."""

from __future__ import annotations

import logging

from agent.errors import PackError
from agent.packs.references import wrong_pack_ref
from agent.server.call import Answer, Call
from agent.server.problems import Problem
from agent.server.route import Route

_log = logging.getLogger(__name__)
_WORKER = frozenset(("worker",))


def archive(call: Call) -> Answer:
    """Send the archive of a pack; its digest is in ``ETag`` and ``X-Checksum-Sha256``."""
    ref = call.path["ref"]
    if (wrong := wrong_pack_ref(ref[:300])) is not None:
        raise Problem.bad(wrong)
    base = call.settings.packs_base_dir.resolve()
    try:
        file = call.services.archives.archive_of(base / ref, ref)
    except FileNotFoundError:
        raise Problem.not_found(f"pack {ref} has no files on this server") from None
    except PackError as error:
        raise Problem(409, "CONFLICT", f"pack {ref} can't be packed: {error}") from None
    except OSError as error:
        _log.error("the archive of pack %s can't be made: %s", ref, error)
        raise Problem(503, "SERVICE_UNAVAILABLE", "the archive can't be made now; the server's log says why") from None
    if file.is_named_by(call.headers.get("if-none-match", "")):
        file.close()
        return Answer(None, 304, {"ETag": file.etag, "X-Checksum-Sha256": file.sha256, "Cache-Control": "no-cache"})
    headers = {"Cache-Control": "no-cache"}
    return Answer(file, headers=headers, media_type="application/gzip", file_name=f"{ref}.tar.gz")


ROUTES = (
    Route(
        "GET",
        "/api/v1/internal/packs/{ref}/archive",
        archive,
        "The files of a pack, for a worker",
        _WORKER,
        bare=True,
        errors=(206, 304, 400, 404, 409, 416, 503),
        tag="packs",
    ),
)
