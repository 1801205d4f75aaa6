"""Hide secret values, plain or encoded, in texts, JSON and byte streams that arrive in pieces (pure).

Each value is looked for as it is, stripped of surrounding white space, line by line, and as Base64 (any alignment,
both alphabets), URL-encoded and JSON-escaped text. Values shorter than four characters are not masked: they can't be
told from ordinary text, and stars at every ``1`` would hide the text and betray the value.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, AnyStr

from agent.execution.secrets.redaction import MARKER
from agent.execution.secrets.secret_forms import MINIMUM, forms_of

#: What is shown in place of a secret.
STARS = "***"

#: A number in JSON equals a secret only by chance when it has fewer digits.
_MINIMUM_NUMBER = 6


class Masker:
    """Knows every form of the given secrets; without secrets everything passes as it is."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        """Prepare to hide ``values``."""
        self._values = frozenset(value for value in values if len(value) >= MINIMUM)
        self._texts = _longest_first({form for value in self._values for form in forms_of(value)})
        self._forms = [text.encode("utf-8", "surrogatepass") for text in self._texts]

    def __bool__(self) -> bool:
        """Whether there is anything to hide."""
        return bool(self._texts)

    def mask_text(self, text: str) -> str:
        """Return ``text`` with ``***`` in place of every form of a secret."""
        if not any(form in text for form in self._texts):
            return text
        return self._text_pattern.sub(STARS, text)

    def mask_bytes(self, data: bytes, *, cut: bool = False) -> bytes:
        """Return ``data`` masked; ``cut`` says that its end was cut off, so that half a secret there is hidden too."""
        if not self._texts:
            return data
        if not cut:
            return self._sub(data)
        stream = MaskingStream(self)
        return stream.feed(data) + stream.cut()

    def mask_json(self, value: Any) -> Any:
        """Return ``value`` with every text and name in it masked; the marks of redacted values stay as they are."""
        return self._mask_json(value) if self._texts else value

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

    def _sub(self, data: bytes) -> bytes:
        if not any(form in data for form in self._forms):
            return data
        return self._byte_pattern.sub(STARS.encode(), data)

    def _settled(self, data: bytes) -> tuple[bytes, bytes]:
        """Return what of ``data`` can be emitted, masked, and the rest that later bytes may turn into a secret."""
        start = max(0, len(data) - self._longest + 1)
        if any(form in data for form in self._forms):
            emitted: list[bytes] = []
            position = 0
            for match in self._byte_pattern.finditer(data):
                begin, end = match.span()
                if (held := self._open(data, max(position, start), begin + 1)) is not None:
                    return b"".join((*emitted, data[position:held])), data[held:]
                emitted += (data[position:begin], STARS.encode())
                position = end
            held = self._open(data, max(position, start), len(data))
            emitted.append(data[position:held])
            return b"".join(emitted), b"" if held is None else data[held:]
        held = self._open(data, start, len(data))
        return (data, b"") if held is None else (data[:held], data[held:])

    def _open(self, data: bytes, begin: int, end: int) -> int | None:
        """Return the first position in the range from which all of ``data`` is the beginning of a longer form."""
        if begin >= end:
            return None
        forms = self._sorted
        for match in self._first_bytes.finditer(data, begin, end):
            tail = data[match.start() :]
            index = bisect_left(forms, tail)
            # A form that equals the tail sorts first and is complete; what the tail begins sorts right behind it.
            if index < len(forms) and forms[index] == tail:
                index += 1
            if index < len(forms) and forms[index].startswith(tail):
                return match.start()
        return None

    @cached_property
    def _text_pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(map(re.escape, self._texts)))

    @cached_property
    def _byte_pattern(self) -> re.Pattern[bytes]:
        return re.compile(b"|".join(map(re.escape, self._forms)))

    @cached_property
    def _first_bytes(self) -> re.Pattern[bytes]:
        return re.compile(b"[" + re.escape(bytes({form[0] for form in self._forms})) + b"]")

    @cached_property
    def _sorted(self) -> list[bytes]:
        return sorted(self._forms)

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self._forms))


class MaskingStream:
    """Masks one stream of bytes whose pieces may split a secret anywhere."""

    def __init__(self, masker: Masker) -> None:
        """Start at the beginning of a stream."""
        self._masker = masker
        self._pending = b""

    @property
    def held(self) -> int:
        """How many bytes are held back because a secret may have begun there."""
        return len(self._pending)

    def feed(self, chunk: bytes) -> bytes:
        """Take the next piece; return what can be shown by now."""
        if not self._masker:
            return chunk
        masked, self._pending = self._masker._settled(self._pending + chunk)
        return masked

    def finish(self) -> bytes:
        """Return what was held back: the stream is over."""
        rest, self._pending = self._pending, b""
        return self._masker.mask_bytes(rest)

    def cut(self) -> bytes:
        """Return what was held back where the rest of the stream is dropped: half a secret becomes ``***`` too."""
        if self.held < MINIMUM:
            return self.finish()
        self._pending = b""
        return STARS.encode()


def _longest_first(forms: Iterable[AnyStr]) -> list[AnyStr]:
    return sorted(forms, key=lambda form: (-len(form), form))
