"""The texts in which a secret value may show up: itself and its common encodings (pure)."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

#: Fewest characters of a form that is looked for.
MINIMUM = 4

#: Fewest characters of one line of a longer secret: shorter ones ("{", "true") are ordinary text.
_MINIMUM_LINE = 8

#: Words that some secret may consist of, but that every output holds.
_ORDINARY = frozenset({"true", "false", "null", "none", "True", "False", "None"})

#: Where base64(1) and MIME break lines.
_BASE64_LINE = 76


def forms_of(value: str) -> set[str]:
    """Return every text that betrays ``value``; empty when it is too short or too ordinary to be hidden."""
    bare = value.strip()
    plain = {value, bare}
    if "\n" in bare:
        plain.add(bare.replace("\r\n", "\n"))
        plain.update(line for line in map(str.strip, bare.splitlines()) if _telling(line))
    forms: set[str] = set()
    for text in plain:
        if len(text.strip()) >= MINIMUM and text not in _ORDINARY:
            forms.update(_escaped(text), _url_encoded(text))
    if len(bare) >= MINIMUM and bare not in _ORDINARY:
        forms.update(form for text in {value, bare} for form in _base64(text.encode("utf-8", "surrogatepass")))
    return {form for form in forms if len(form) >= MINIMUM}


def _telling(line: str) -> bool:
    """Whether a line of a secret is itself secret; the frame of a PEM block isn't."""
    return len(line) >= _MINIMUM_LINE and not (line.startswith("-----") and line.endswith("-----"))


def _escaped(text: str) -> Iterator[str]:
    """Yield the text as it is, between a shell's single quotes, and inside JSON as common writers escape it."""
    yield text
    yield text.replace("'", "'\\''")
    for ascii_only in (True, False):
        inside = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield inside
        yield inside.replace("/", "\\/")
        yield inside.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _url_encoded(text: str) -> Iterator[str]:
    from urllib.parse import quote

    for safe in ("", "/", "!'()*"):  # everything, a path, JavaScript's encodeURIComponent
        encoded = quote(text, safe=safe, errors="surrogatepass")
        for form in (encoded, encoded.replace("%20", "+")):
            yield form
            yield _lower_hex(form)


def _lower_hex(encoded: str) -> str:
    head, *parts = encoded.split("%")
    return head + "".join(f"%{part[:2].lower()}{part[2:]}" for part in parts)


def _base64(data: bytes) -> Iterator[str]:
    """Yield what Base64 shows of ``data`` wherever it lies in the encoded bytes, in both alphabets.

    Characters that also depend on the neighbours' bits are left out, they tell less than one byte.
    """
    whole = base64.b64encode(data).decode("ascii")
    forms = {whole, whole.rstrip("=")}
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + data).decode("ascii")
        forms.add(encoded[-(-offset * 8 // 6) : (offset + len(data)) * 8 // 6])
    lines = [whole[start : start + _BASE64_LINE] for start in range(0, len(whole), _BASE64_LINE)]
    forms.update(line.rstrip("=") for line in lines if len(line) >= _MINIMUM_LINE)
    for form in forms:
        yield form
        yield form.translate(_URL_SAFE)


_URL_SAFE = str.maketrans("+/", "-_")
