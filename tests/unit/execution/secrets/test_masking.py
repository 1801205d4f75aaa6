"""Masking: no form of a secret survives, however the output was cut into pieces, and ordinary text is left alone."""

from __future__ import annotations

import base64
import html
import itertools
import json
import re
import shlex
import subprocess
import urllib.parse
import xml.sax.saxutils
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent.execution.secrets.masking import Masker, MaskingStream
from agent.execution.secrets.redaction import MARKER
from agent.execution.secrets.secret_forms import forms_of

SECRET = "tr0ub4dor&3/+ü \"q'"
PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----\n"

# A small alphabet, so that secrets overlap, repeat and begin inside each other; no star: it is what hides them.
alphabet = st.sampled_from("abc1 ")
secrets = st.lists(st.text(alphabet, min_size=4, max_size=12), min_size=1, max_size=4)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(edges)]


def stream(masker: Masker, chunks: list[bytes]) -> bytes:
    masking = MaskingStream(masker)
    return b"".join([*map(masking.feed, chunks), masking.finish()])


@given(secrets, st.data(), st.lists(st.integers(0, 1000), max_size=10))
def test_however_the_input_is_split_the_output_is_that_of_the_whole(
    values: list[str], data: st.DataObject, cuts: list[int]
) -> None:
    text = "".join(data.draw(st.lists(st.sampled_from(values) | st.text(alphabet, max_size=6), max_size=12)))
    masker = Masker(values)
    whole = masker.mask_text(text)
    assert stream(masker, pieces(text.encode(), cuts)) == whole.encode() == masker.mask_bytes(text.encode())
    for value in values:
        assert not any(form in whole for form in forms_of(value))


@pytest.mark.parametrize("form", sorted(forms_of(SECRET)))
def test_every_form_is_masked_wherever_it_is_split(form: str) -> None:
    masker, shown = Masker([SECRET]), form.encode()
    for cut in range(1, len(shown)):
        assert stream(masker, [b"<" + shown[:cut], shown[cut:] + b">"]) == b"<***>"


@given(st.text(min_size=4), st.binary(max_size=5), st.binary(max_size=5))
def test_no_encoding_of_a_secret_survives(value: str, before: bytes, after: bytes) -> None:
    assume(len(value.strip()) >= 4 and "*" not in value)
    masker = Masker([value])
    assume(masker)
    raw = value.encode("utf-8", "surrogatepass")
    encodings = [
        raw,
        json.dumps(value).encode(),
        urllib.parse.quote(value, safe="", errors="surrogatepass").encode(),
        base64.b64encode(raw),
        base64.urlsafe_b64encode(raw),
    ]
    for encoded in encodings:
        masked = stream(masker, [before, encoded, after])
        assert b"***" in masked
        assert encoded not in masked


@given(st.binary(min_size=0, max_size=7), st.binary(min_size=0, max_size=7), st.sampled_from(["std", "url"]))
def test_base64_of_text_around_a_secret_shows_nothing_of_it(before: bytes, after: bytes, kind: str) -> None:
    encode = base64.b64encode if kind == "std" else base64.urlsafe_b64encode
    value = "correct horse battery staple?>"
    encoded = encode(before + value.encode() + after)
    masked = Masker([value]).mask_bytes(encoded)
    assert b"***" in masked
    # All that may be left of the secret are two characters that share bits with its neighbours.
    assert len(masked) - 3 <= len(encoded) - (len(value) * 8 // 6 - 2)


@pytest.mark.parametrize(
    "shown",
    [
        SECRET,
        SECRET.encode("utf-8").decode("utf-8"),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        json.dumps(SECRET)[1:-1].replace("/", "\\/"),
        json.dumps(SECRET)[1:-1].replace("&", "\\u0026"),
        urllib.parse.quote(SECRET, safe=""),
        urllib.parse.quote(SECRET),
        urllib.parse.quote_plus(SECRET),
        urllib.parse.quote(SECRET, safe="").replace("%C3%BC", "%c3%bc").replace("%2F", "%2f").replace("%2B", "%2b"),
        urllib.parse.quote(SECRET, safe="!'()*"),
        SECRET.replace("'", "'\\''"),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        base64.b64encode(SECRET.encode()).decode().rstrip("="),
    ],
)
def test_common_writers_of_a_secret_are_all_masked_completely(shown: str) -> None:
    assert Masker([SECRET]).mask_text(f"<{shown}>") == "<***>"


def test_a_secret_with_a_final_newline_is_masked_without_it_too() -> None:
    assert Masker(["hunter22\n"]).mask_text("x=hunter22;") == "x=***;"


def test_each_line_of_a_long_secret_is_masked_but_not_its_frame() -> None:
    masked = Masker([PEM]).mask_text("-----BEGIN KEY-----\r\n  hkiG9w0BAQEFAASC\r\n")
    assert masked == "-----BEGIN KEY-----\r\n  ***\r\n"


def test_short_lines_of_a_long_secret_are_ordinary_text() -> None:
    masker = Masker(['{\n  "on": true,\n  "password": "hunter22"\n}'])
    assert masker.mask_text('{"on": true} if (x) {\n}') == '{"on": true} if (x) {\n}'
    assert masker.mask_text('"password": "hunter22"') == "***"


def test_base64_that_a_tool_has_wrapped_is_masked() -> None:
    secret = "".join(f"{number:03d}" for number in range(100))
    wrapped = base64.encodebytes(secret.encode()).decode()
    assert set(Masker([secret]).mask_text(wrapped)) <= set("*=\n")


@pytest.mark.parametrize("value", ["", "a", "123", "   ", "true", "null", "\n\n\n\n\n"])
def test_what_is_too_short_or_too_ordinary_is_not_masked(value: str) -> None:
    masker = Masker([value])
    assert not masker
    assert masker.mask_text("a true 123 null {}   \n") == "a true 123 null {}   \n"


def test_without_secrets_everything_passes_as_the_same_object() -> None:
    masker = Masker()
    data, text, value = b"bytes", "text", {"a": [1]}
    assert masker.mask_bytes(data) is data
    assert masker.mask_text(text) is text
    assert masker.mask_json(value) is value
    assert MaskingStream(masker).feed(data) is data


def test_the_longest_secret_at_a_place_is_the_one_that_is_masked() -> None:
    assert Masker(["abcd", "abcdefgh"]).mask_text("abcdefghi abcdefg") == "***i ***efg"


def test_only_the_possible_beginning_of_a_secret_is_held_back() -> None:
    masking = MaskingStream(Masker(["hunter22"]))
    assert masking.feed(b"nothing here\n") == b"nothing here\n"
    assert masking.feed(b"user hun") == b"user "
    assert masking.held == 3
    assert masking.feed(b"ger\n") == b"hunger\n"
    assert masking.feed(b"hunter2") == b""
    assert masking.feed(b"2!") == b"***!"
    assert masking.finish() == b""


def test_a_complete_secret_is_shown_as_stars_at_once() -> None:
    assert MaskingStream(Masker(["hunter22"])).feed(b"hunter22") == b"***"


def test_the_beginning_of_a_secret_at_the_end_is_kept_where_nothing_was_cut_off() -> None:
    masker = Masker(["hunter22"])
    assert masker.mask_bytes(b"the hunter") == b"the hunter"
    assert masker.mask_bytes(b"the hunter", cut=True) == b"the ***"
    assert masker.mask_bytes(b"the hun", cut=True) == b"the hun"
    assert masker.mask_bytes(b"hunter22 the", cut=True) == b"*** the"


def test_a_stream_that_is_cut_hides_the_half_of_a_secret_that_it_holds() -> None:
    masking = MaskingStream(Masker(["hunter22"]))
    assert masking.feed(b"the hunter") + masking.cut() == b"the ***"
    assert masking.feed(b"the hun") + masking.cut() == b"the hun"
    assert masking.held == 0


def test_bytes_that_are_no_text_pass() -> None:
    assert Masker(["hunter22"]).mask_bytes(b"\xff\x00hunter22\xfe") == b"\xff\x00***\xfe"


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ({"k": "a hunter22 b", "hunter22": [1, {"x": "hunter22"}]}, {"k": "a *** b", "***": [1, {"x": "***"}]}),
        ({"secret": dict(MARKER), "x": None}, {"secret": dict(MARKER), "x": None}),
        ([4711, 471108, 471108.0, True, 4711080], [4711, "***", 471108.0, True, 4711080]),
        ("hunter22", "***"),
        (None, None),
    ],
)
def test_json_is_masked_in_texts_names_and_equal_numbers(value: Any, masked: Any) -> None:
    assert Masker(["hunter22", "4711", "471108"]).mask_json(value) == masked


def test_masking_json_leaves_the_original_as_it_is() -> None:
    value = {"a": ["hunter22"]}
    Masker(["hunter22"]).mask_json(value)
    assert value == {"a": ["hunter22"]}


def test_a_long_output_one_byte_at_a_time_is_masked_in_linear_time() -> None:
    masker = Masker(["a" * 2000 + "b"])
    masking = MaskingStream(masker)
    out = b"".join(masking.feed(b"a") for _ in range(5000))
    assert len(out) + masking.held == 5000
    assert masking.held == 2000


AWKWARD = [
    "pa'ss\"wo<r>d&1 $x`y\\z",
    'it"s quoted',
    "a b\tc\nd",
    "ümlaut's\"x",
    "tab\there!~#{}[]=^,",
    "https://u:p@h/?a=b&c=d",
]


@pytest.mark.parametrize("secret", AWKWARD)
@pytest.mark.parametrize(
    "write",
    [
        repr,
        ascii,
        lambda text: repr(text.encode()),
        lambda text: repr([text + "'", text + '"']),
        lambda text: str(KeyError(text)),
        json.dumps,
        lambda text: json.dumps(json.dumps({"secret": text})),
        xml.sax.saxutils.escape,
        xml.sax.saxutils.quoteattr,
        html.escape,
        shlex.quote,
        urllib.parse.quote,
        urllib.parse.quote_plus,
        lambda text: text.encode().hex(),
        lambda text: base64.b64encode(b"user:" + text.encode()).decode(),
    ],
)
def test_what_other_programs_write_of_a_secret_is_hidden(secret: str, write: Callable[[str], str]) -> None:
    shown = Masker([secret]).mask_text(write(secret))
    assert "***" in shown
    assert not any(word in shown for word in re.findall(r"\w{4,}", secret))


@pytest.mark.parametrize("secret", AWKWARD)
@pytest.mark.parametrize(
    "script", ['printf %q "$1"', 'set -x; : "$1"', "v=$1; declare -p v", 'v=$1; printf %s "${v@Q}"']
)
def test_what_a_shell_writes_of_a_secret_is_hidden(secret: str, script: str) -> None:
    done = subprocess.run(
        ["bash", "-c", script, "bash", secret], capture_output=True, text=True, check=True, env={"LC_ALL": "C.UTF-8"}
    )
    assert "***" in Masker([secret]).mask_text(done.stdout + done.stderr)
