"""Hide secret values, plain or encoded, in texts, JSON and byte streams that arrive in pieces (pure).

Each value is looked for as it is, stripped of surrounding white space, line by line, as Base64 (any alignment, both
alphabets) and hexadecimal, URL-encoded, and escaped as JSON, XML, shells and programming languages write it; the table
in docs/explanation/security.md is the promise. Values shorter than four characters are not masked: they can't be
told from ordinary text, and stars at every ``1`` would hide the text and betray the value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agent.execution.secrets.form_index import FormIndex, Span
from agent.execution.secrets.redaction import MARKER
from agent.execution.secrets.secret_forms import MINIMUM, forms_of

#: What is shown in place of a secret.
STARS = "***"
_STARS = STARS.encode()

#: A number in JSON equals a secret only by chance when it has fewer digits.
_MINIMUM_NUMBER = 6


class Masker:
    """Knows every form of the given secrets; without secrets everything passes as it is.

    Forms that overlap become one ``***``, so that no end of either is left.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        """Prepare to hide ``values``."""
        self._values = frozenset(value for value in values if len(value) >= MINIMUM)
        forms = {form for value in self._values for form in forms_of(value)}
        self._index = FormIndex(form.encode("utf-8", "surrogatepass") for form in forms) if forms else None

    def knowing(self, values: Iterable[str]) -> Masker:
        """Return a masker that hides ``values`` as well."""
        more = self._values | frozenset(values)
        return self if more == self._values else Masker(more)

    def __bool__(self) -> bool:
        """Whether there is anything to hide."""
        return self._index is not None

    def mask_text(self, text: str) -> str:
        """Return ``text`` with ``***`` in place of every form of a secret."""
        data = text.encode("utf-8", "surrogatepass")
        masked = self.mask_bytes(data)
        return text if masked is data else masked.decode("utf-8", "surrogatepass")

    def mask_bytes(self, data: bytes, *, cut: bool = False) -> bytes:
        """Return ``data`` masked; ``cut`` says that its end was cut off, so that half a secret there is hidden too."""
        if self._index is None:
            return data
        if cut:
            stream = MaskingStream(self)
            return stream.feed(data) + stream.cut()
        spans = self._index.find(data).spans
        return _masked(data, spans, 0, len(data)) if spans else data

    def mask_json(self, value: Any) -> Any:
        """Return ``value`` with every text and name in it masked; the marks of redacted values stay as they are."""
        return self._mask_json(value) if self else value

    def _mask_json(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.mask_text(value)
        if isinstance(value, Mapping):
            if value == MARKER:
                return value
            return {self.mask_text(str(key)): self._mask_json(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._mask_json(item) for item in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            text = repr(value)
            return STARS if len(text) >= _MINIMUM_NUMBER and text in self._values else value
        return value


class MaskingStream:
    """Masks one stream of bytes whose pieces may split a secret anywhere."""

    def __init__(self, masker: Masker) -> None:
        """Start at the beginning of a stream."""
        self._masker = masker
        self._pending = b""
        self._hidden = 0  # so many of the pending bytes belong to a secret whose stars were shown

    @property
    def held(self) -> int:
        """How many bytes are held back because a secret may have begun there."""
        return len(self._pending)

    def feed(self, chunk: bytes) -> bytes:
        """Take the next piece; return what can be shown by now."""
        index = self._masker._index
        if index is None:
            return chunk
        data = self._pending + chunk
        if self._pending and index.is_beginning(data):  # a long secret that comes byte by byte is not looked at again
            self._pending = data
            return b""
        return self._settle(index, data, open_end=True)

    def finish(self) -> bytes:
        """Return what was held back: the stream is over."""
        index = self._masker._index
        return b"" if index is None else self._settle(index, self._pending, open_end=False)

    def cut(self) -> bytes:
        """Return what was held back where the rest of the stream is dropped: half a secret becomes ``***`` too."""
        left = self.held - self._hidden
        if self.held < MINIMUM:
            return self.finish()
        self._pending, self._hidden = b"", 0
        return _STARS if left > 0 else b""

    def _settle(self, index: FormIndex, data: bytes, *, open_end: bool) -> bytes:
        """Return what of ``data`` is certain, masked, and hold the rest back: it may become a secret."""
        found = index.find(data, open_end=open_end)
        end = len(data) if found.open_at is None or not open_end else found.open_at
        hidden, spans = self._hidden, found.spans
        while spans and spans[0][0] < hidden:  # it overlaps what is hidden already, and may make it longer
            hidden = max(hidden, spans.pop(0)[1])
        shown = _masked(data, spans, hidden, end)
        last = max([hidden, *(stop for start, stop in spans if start < end)])
        self._pending, self._hidden = data[end:], max(0, last - end)
        return shown


def _masked(data: bytes, spans: Iterable[Span], begin: int, end: int) -> bytes:
    """Return ``data`` from ``begin`` to ``end`` with stars for each of ``spans`` that begins there."""
    pieces: list[bytes] = []
    for start, stop in spans:
        if start >= end:
            break
        pieces += (data[begin:start], _STARS)
        begin = stop
    pieces.append(data[begin:end])
    return b"".join(pieces)
