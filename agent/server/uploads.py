"""Receive a file in a multipart body: streamed to the disk, never larger than it may be."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass, field
from typing import IO

import anyio.to_thread
from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File
from starlette.requests import Request

from agent.server.problems import Problem

_FIELD_BYTES = 1000
_MOST_PARTS = 100
_IN_MEMORY = 256 * 1024


@dataclass
class Upload:
    """What a form held: its short fields, and one file with the name that it had where it came from."""

    fields: dict[str, str] = field(default_factory=dict)
    file: IO[bytes] | None = None
    file_name: str = ""

    def flag(self, name: str) -> bool:
        """Whether a field says true."""
        return self.fields.get(name, "").strip().lower() == "true"

    def close(self) -> None:
        """Remove the file."""
        if self.file is not None:
            with contextlib.suppress(OSError):
                self.file.close()


async def receive(request: Request, limit: int, wanted: str) -> Upload:
    """Read the form, of at most ``limit`` bytes, whose file should be in the field ``wanted``.

    Raises:
        Problem: it is no form, is larger than it may be, or has no file; or there is no room for it.
    """
    kind, _, options = request.headers.get("content-type", "").partition(";")
    boundary = options.partition("boundary=")[2].partition(";")[0].strip().strip('"')
    if kind.strip().lower() != "multipart/form-data" or not boundary:
        raise Problem(415, "BAD_REQUEST", "the body must be a form: Content-Type: multipart/form-data", plain=True)
    upload = Upload()

    parts = 0

    def count() -> None:
        nonlocal parts
        parts += 1
        if parts > _MOST_PARTS:
            raise FormParserError(f"it has more than {_MOST_PARTS} parts")

    def on_field(found: Field) -> None:
        count()
        value = (found.value or b"")[:_FIELD_BYTES].decode("utf-8", "replace")
        upload.fields[(found.field_name or b"").decode("utf-8", "replace")] = value

    def on_file(found: File) -> None:
        count()
        if upload.file is None:
            found.file_object.seek(0)
            target = tempfile.TemporaryFile(prefix="attune-upload-")  # noqa: SIM115 - closed by the binding
            while chunk := found.file_object.read(1 << 20):
                target.write(chunk)
            target.seek(0)
            upload.file = target
            upload.file_name = (found.file_name or b"")[:_FIELD_BYTES].decode("utf-8", "replace")
        found.close()

    size = 0
    try:
        parser = FormParser("multipart/form-data", on_field, on_file, boundary=boundary.encode())
        async for chunk in request.stream():
            size += len(chunk)
            _check(size, limit)
            await anyio.to_thread.run_sync(parser.write, chunk)
        await anyio.to_thread.run_sync(parser.finalize)
    except FormParserError as error:
        upload.close()
        raise Problem.bad(f"the form can't be read: {error}") from None
    except OSError as error:
        upload.close()
        raise _no_room(error) from None
    except BaseException:
        upload.close()
        raise
    if upload.file is None:
        raise Problem.bad(f"the form has no file; it goes into the field {wanted}")
    return upload


async def receive_content(request: Request, limit: int) -> IO[bytes]:
    """Read a body of bytes, in memory while it is small.

    Raises:
        Problem: it is larger than it may be, or there is no room for it.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit():
        _check(int(length) if len(length) <= 18 else limit + 1, limit)
    content = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, prefix="attune-content-")  # noqa: SIM115 - closed by the binding
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            _check(size, limit)
            if size <= _IN_MEMORY:
                content.write(chunk)
            else:
                await anyio.to_thread.run_sync(content.write, chunk)
    except OSError as error:
        content.close()
        raise _no_room(error) from None
    except BaseException:
        content.close()
        raise
    return content


def _no_room(error: OSError) -> Problem:
    text = f"there is no room for the body: {error.strerror}"
    return Problem(507, "SERVICE_UNAVAILABLE", text, headers={"Retry-After": "5"})


def _check(size: int, limit: int) -> None:
    if size > limit:
        raise Problem(413, "BAD_REQUEST", f"the upload is larger than {limit} bytes", plain=True)
