"""What the API answers instead of what was asked for, as an error of ours (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.errors import AccessDenied, AgentError, ApiUnavailable, Conflict, NotFound, Overloaded, UsageError
from agent.reading.json_text import read_json

_KINDS: Mapping[int, type[AgentError]] = {
    401: AccessDenied,
    403: AccessDenied,
    404: NotFound,
    409: Conflict,
    413: AgentError,
    422: UsageError,
    429: Overloaded,
}
_LONGEST = 2000


def refusal(status: int, body: bytes) -> AgentError:
    """Return the error for an answer that is not what was asked for: its sentence, and its hint where it has one."""
    message, hint, details = _sentence(body)
    if details:
        message = "; ".join([message or "refused", *details])
    if status in (502, 503, 504):
        return ApiUnavailable(message or f"it answers with status {status}", hint="try again in a moment")
    if status == 401:
        hint = "log in: attune login URL"
    kind = _KINDS.get(status, AgentError)
    if not message:
        message = "the API does not know this; is the URL right, and the server as new as this command?"
        message = message if status in (404, 405) else f"the API answers with status {status}"
    return kind(message[:_LONGEST], hint=hint)


def _sentence(body: bytes) -> tuple[str, str | None, list[str]]:
    try:
        found: Any = read_json(body)
    except ValueError:
        return _plain(body), None, []
    if not isinstance(found, Mapping):
        return "", None, []
    error = found.get("error")
    if isinstance(error, Mapping):
        error = error.get("message")
    hint, details = found.get("hint"), found.get("details")
    listed = [str(one)[:500] for one in details[:20]] if isinstance(details, list) else []
    return str(error or ""), hint if isinstance(hint, str) else None, listed


def _plain(body: bytes) -> str:
    """A sentence in plain text is shown; a page of a proxy is not."""
    text = body[:_LONGEST].decode("utf-8", "replace").strip()
    return "" if text.startswith("<") or "\n" in text else text
