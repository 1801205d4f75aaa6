"""The envelope around every message: JSON in, ``Envelope`` out; and back, the same bytes for the same values.

This is the hot path of a busy worker, hence the cached encoder and decoder and the hand-made text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha1
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from agent.errors import MessageError
from agent.json_pieces import json_pieces
from agent.mq.broker import Outgoing
from agent.reading.json_text import read_json

MESSAGE_TYPES = frozenset(
    {
        "EventCreated",
        "EnforcementCreated",
        "ExecutionRequested",
        "ExecutionStatusChanged",
        "ExecutionCompleted",
        "InquiryCreated",
        "InquiryResponded",
        "NotificationCreated",
        "RuleCreated",
        "RuleEnabled",
        "RuleDisabled",
        "PackRegistered",
        "PackDeleted",
        "ExecutionCancelRequested",
        # Ours: the services of other makes don't know them and drop them.
        "RuntimeVerifyRequested",
        "EnvironmentRebuildRequested",
    }
)

# Never change it: a message that is repeated by a newer version must keep its id.
_NAMESPACE = UUID("6f1d3a52-0c1f-5b7e-9d0a-4e2b8c7f1a36").bytes
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
#: Largest message that is read: the configuration of an execution with the largest parameters, and some.
MOST_BYTES = 32 * 1024 * 1024

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class Envelope(NamedTuple):
    """One decoded message. Ids are lower-case UUID strings, ``timestamp`` is aware and in UTC."""

    message_id: str
    correlation_id: str
    message_type: str
    version: str
    timestamp: datetime
    headers: Mapping[str, Any]
    payload: Mapping[str, Any]


# Sorted keys: a result that was read back from the database (jsonb keeps no order) gives the same bytes.
_encode_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False, sort_keys=True).encode
_quote = json.encoder.encode_basestring


def decode(body: bytes) -> Envelope:
    """Decode a message body; unknown keys are ignored.

    Raises:
        MessageError: not UTF-8 JSON, a key is missing or of a wrong type, or the message type is unknown.
    """
    if len(body) > MOST_BYTES:
        raise MessageError(f"it has {len(body)} bytes, more than {MOST_BYTES}")
    try:
        data = read_json(body)
    except ValueError as error:
        raise MessageError(f"not a JSON message: {error}") from error
    if type(data) is not dict:
        raise MessageError("a message must be a JSON object")
    message_type = data.get("message_type")
    if type(message_type) is not str or message_type not in MESSAGE_TYPES:
        raise MessageError(f"unknown message_type {str(message_type)[:50]!r}")
    payload = data.get("payload")
    if type(payload) is not dict:
        raise MessageError("payload must be an object")
    version = data.get("version", "1.0")
    if type(version) is not str:
        raise MessageError("version must be a string")
    return Envelope(
        _uuid(data.get("message_id"), "message_id"),
        _uuid(data.get("correlation_id"), "correlation_id"),
        message_type,
        version,
        parse_timestamp(data.get("timestamp"), "timestamp"),
        _headers(data.get("headers", {})),
        payload,
    )


def _headers(headers: Any) -> Mapping[str, Any]:
    if type(headers) is not dict:
        raise MessageError("headers must be an object")
    retries = headers.get("retry_count", 0)
    if type(retries) is not int or not 0 <= retries < 2**32:
        raise MessageError("headers.retry_count must be a 32-bit count")
    if not isinstance(headers.get("source_service"), str | None):
        raise MessageError("headers.source_service must be a string")
    if headers.get("trace_id") is not None:
        _uuid(headers["trace_id"], "headers.trace_id")
    return headers


def _uuid(value: Any, key: str) -> str:
    if value is None:
        return str(uuid4())
    if type(value) is str:
        if _UUID.fullmatch(value):
            return value
        try:
            return str(UUID(value))
        except ValueError:
            pass
    raise MessageError(f"{key} must be a UUID")


def parse_timestamp(value: Any, key: str) -> datetime:
    """Read an RFC 3339 time into UTC; digits beyond microseconds are cut.

    Raises:
        MessageError: it isn't one; ``key`` is named.
    """
    if type(value) is str and _RFC3339.fullmatch(value):
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise MessageError(f"{key} must be an RFC 3339 time")


def format_timestamp(moment: datetime) -> str:
    """Write an aware time as RFC 3339 in UTC with a ``Z``."""
    return moment.astimezone(UTC).isoformat()[:-6] + "Z"


def stable_id(name: str) -> str:
    """A version 5 UUID (RFC 4122, section 4.3) of ``name`` in a namespace of ours."""
    digest = sha1(_NAMESPACE + name.encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


def quote(text: str) -> str:
    """A JSON string, with its quotation marks."""
    return _quote(text)


def to_json(value: object) -> str:
    """Compact JSON with sorted keys.

    Raises:
        MessageError: the value holds something that JSON can't say (NaN, a set).
    """
    try:
        return _encode_json(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise MessageError(f"can't be written as JSON: {error}") from error


def to_json_pieces(value: object) -> Iterator[bytes]:
    """The same in UTF-8, for what may hold large texts. Raises MessageError."""
    try:
        yield from json_pieces(value, _encode_json, sort_keys=True, errors="replace")
    except (ValueError, TypeError, RecursionError) as error:
        raise MessageError(f"can't be written as JSON: {error}") from error


def wrap(
    message_type: str,
    payload: str | Iterable[str | bytes],
    *,
    exchange: str,
    routing_key: str,
    timestamp: datetime,
    source: str | None,
    message_id: str | None = None,
) -> Outgoing:
    """Put a payload, which is already JSON text, into an envelope that is ready to publish.

    What may be large comes in pieces, so that there are no more copies of it than needed. Without ``message_id`` the
    message gets a random one; ``source`` is the sending service, if it says so.
    """
    identity = message_id or str(uuid4())
    named = f',"source_service":{_quote(source)}' if source is not None else ""
    head = (
        f'{{"message_id":"{identity}","correlation_id":"{identity}","message_type":"{message_type}","version":"1.0",'
        f'"timestamp":"{format_timestamp(timestamp)}","headers":{{"retry_count":0{named}}},"payload":'
    )
    if isinstance(payload, str):
        body = to_bytes(f"{head}{payload}}}")
    else:
        pieces = (piece if isinstance(piece, bytes) else to_bytes(piece) for piece in (head, *payload, "}"))
        body = b"".join(pieces)
    return Outgoing(exchange, routing_key, body, identity, identity, int(timestamp.timestamp()))


def to_bytes(text: str) -> bytes:
    """UTF-8. A lone surrogate has no such form: the reader gets a question mark rather than no message at all."""
    return text.encode("utf-8", "replace")
