"""What a request is answered with when a file of an artifact can't be written or read."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from typing import TypeVar

from agent.server.problems import Problem
from agent.server.stored_files import TooLarge, WrongContent, WrongOffset

_log = logging.getLogger(__name__)
OFFSET = "Upload-Offset"
Result = TypeVar("Result")


def tried(action: Callable[[], Result], path: str) -> Result:
    """Do something with the file at ``path``. Raises Problem where it can't be done."""
    try:
        return action()
    except WrongOffset as error:
        if error.size < 0:
            raise Problem(409, "CONFLICT", f"{path} has other content there: another worker is writing it") from None
        problem = Problem(409, "CONFLICT", f"{path} ends at {error.size}", headers={OFFSET: str(error.size)})
        raise problem from None
    except WrongContent:
        raise Problem.invalid("the body doesn't have the digest or the size that its headers announce") from None
    except TooLarge:
        raise Problem(413, "BAD_REQUEST", "the file would be larger than artifacts.max_upload_size") from None
    except (FileNotFoundError, NotADirectoryError):
        raise Problem.not_found(f"there is no file {path}") from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.EXDEV, errno.EEXIST, errno.ENXIO):
            raise Problem(409, "CONFLICT", f"{path} is no file that can be written") from None
        _log.error("can't write %s: %s", path, error)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        text = "the server's disk is full" if full else f"the server can't write: {os.strerror(error.errno or 0)}"
        raise Problem(507 if full else 503, "SERVICE_UNAVAILABLE", text, headers={"Retry-After": "5"}) from None
