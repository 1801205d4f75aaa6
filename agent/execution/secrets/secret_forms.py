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
        if text.isascii() and text.isalnum() and len(text) >= MINIMUM and text not in _ORDINARY:
            forms.add(text)  # nothing in it is ever escaped
        elif len(text.strip()) >= MINIMUM and text not in _ORDINARY:
            forms.update(_escaped(text), _url_encoded(text))
    if len(bare) >= MINIMUM and bare not in _ORDINARY:
        for data in {text.encode("utf-8", "surrogatepass") for text in (value, bare)}:
            forms.update(_base64(data), _hexadecimal(data))
    return {form for form in forms if len(form) >= MINIMUM}


def _telling(line: str) -> bool:
    """Whether a line of a secret is itself secret; the frame of a PEM block isn't."""
    return len(line) >= _MINIMUM_LINE and not (line.startswith("-----") and line.endswith("-----"))


def _escaped(text: str) -> Iterator[str]:
    """Yield the text as it is, and inside the quotes of shells, JSON, programming languages and XML."""
    yield text
    yield from _in_shell(text)
    for ascii_only in (True, False):
        inside = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield inside
        yield inside.replace("/", "\\/")
        yield inside.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
        yield json.dumps(inside, ensure_ascii=ascii_only)[1:-1]  # JSON in JSON, as in structured logs
    yield from _in_python(text)
    yield from _in_xml(text)


def _in_shell(text: str) -> Iterator[str]:
    """Between single quotes, between double quotes, and as ``printf %q`` and ``set -x`` write it."""
    yield text.replace("'", "'\\''")
    yield text.replace("'", "'\"'\"'")
    yield _preceded(text, '\\"$`', "\\")
    yield _preceded(text, '\\"$`!', "\\")
    # dash, busybox and ksh leave out what bash escapes, and the other way round.
    yield _preceded(text, "\\'\"`$&|;<>()[]{}*?!^~#= \t,", "\\")
    yield _preceded(text, "\\'\"`$&|;<>()[]{}*?!^ \t,", "\\")
    yield _preceded(text, "\\'\"`$&|;<>()[]*? \t", "\\")
    yield "".join(sign if sign.isalnum() or sign in "_-.,:+/@\n" else "\\" + sign for sign in text)
    yield "".join(f"'$'{_CONTROL[ord(sign)]}''" if ord(sign) in _CONTROL else sign for sign in text)
    dollar_quoted = text.replace("\\", "\\\\").replace("'", "\\'").translate(_CONTROL)
    yield dollar_quoted
    yield _bytewise(dollar_quoted, "\\{:03o}")


def _in_python(text: str) -> Iterator[str]:
    """What ``repr`` writes, also of the bytes: in tracebacks, and in most other languages."""
    for inside in (repr(text)[1:-1], ascii(text)[1:-1], repr(text.encode("utf-8", "surrogatepass"))[2:-1]):
        yield inside
        bare = inside.replace("\\'", "'")  # either quote may be the one that is escaped
        yield bare.replace("'", "\\'")
        yield (double := bare.replace('"', '\\"'))
        yield double.replace("#{", "\\#{").replace("#$", "\\#$").replace("#@", "\\#@")
        yield _preceded(double, "$@", "\\")
        yield bare


def _in_xml(text: str) -> Iterator[str]:
    """With entities: in text, and in attributes with the quotes' different names."""
    inside = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    yield text.replace("&", "&amp;").replace("<", "&lt;")
    yield inside
    for double, single in (
        ("&quot;", "'"),
        ("&quot;", "&#39;"),
        ("&quot;", "&#x27;"),
        ("&quot;", "&apos;"),
        ("&#34;", "&#39;"),
    ):
        yield (attribute := inside.replace('"', double).replace("'", single))
        yield attribute.replace("\t", "&#9;").replace("\n", "&#10;").replace("\r", "&#13;")


def _preceded(text: str, characters: str, mark: str) -> str:
    if not any(character in text for character in characters):
        return text
    return "".join(mark + character if character in characters else character for character in text)


def _bytewise(text: str, form: str) -> str:
    """Write what is not ASCII byte by byte."""
    if text.isascii():
        return text
    return "".join(chr(byte) if byte < 128 else form.format(byte) for byte in text.encode("utf-8", "surrogatepass"))


def _hexadecimal(data: bytes) -> Iterator[str]:
    yield data.hex()
    yield data.hex().upper()


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


#: How bash and zsh write control characters between ``$'`` and ``'``.
_CONTROL = {code: f"\\{code:03o}" for code in (*range(32), 127)} | {
    ord(plain): short
    for plain, short in zip("\a\b\x1b\f\n\r\t\v", (r"\a", r"\b", r"\E", r"\f", r"\n", r"\r", r"\t", r"\v"), strict=True)
}
_URL_SAFE = str.maketrans("+/", "-_")
