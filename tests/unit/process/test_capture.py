"""Bounded capture: what fits is kept, the cut is marked once, the rest is counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.process.capture import RESERVE_BYTES, BoundedCapture


def test_output_that_exactly_fits_is_not_marked() -> None:
    capture = BoundedCapture("stdout", RESERVE_BYTES + 50)
    capture.feed(b"x" * 50)
    assert not capture.truncated
    assert capture.data() == b"x" * 50


def test_the_next_byte_is_marked_and_counted() -> None:
    capture = BoundedCapture("stdout", 138)
    capture.feed(b"x" * 11)
    assert capture.dropped == 1
    assert capture.data() == b"x" * 10 + b"\n\n[OUTPUT TRUNCATED: stdout exceeded size limit]\n"


def test_what_comes_after_the_mark_is_only_counted() -> None:
    capture = BoundedCapture("stderr", 148)
    shown = [capture.feed(b"y" * 15) for _ in range(4)]
    assert capture.dropped == 40
    assert shown[2:] == [b"", b""]
    assert b"stderr exceeded" in capture.data()


def test_a_limit_below_the_reserve_keeps_nothing() -> None:
    capture = BoundedCapture("stdout", 10)
    capture.feed(b"abc")
    assert capture.dropped == 3


def test_bytes_that_are_no_text_become_replacement_characters() -> None:
    capture = BoundedCapture("stdout", 1000)
    capture.feed(b"a\xff\xfeb")
    assert capture.text() == "a\ufffd\ufffdb"


@given(st.text(min_size=1, max_size=80), st.integers(0, 60))
def test_text_is_cut_at_a_character(text: str, room: int) -> None:
    capture = BoundedCapture("stdout", RESERVE_BYTES + room)
    capture.feed(text.encode("utf-8", "surrogatepass"))
    kept = capture.data().removesuffix(capture.mark) if capture.truncated else capture.data()
    kept.decode("utf-8", "surrogatepass")
    assert len(kept) <= room


@given(st.lists(st.binary(max_size=20), max_size=20), st.integers(0, 100))
def test_what_is_shown_is_what_is_kept_and_nothing_is_lost_uncounted(chunks: list[bytes], room: int) -> None:
    capture = BoundedCapture("stdout", RESERVE_BYTES + room)
    shown = b"".join(capture.feed(chunk) for chunk in chunks)
    assert shown == capture.data()
    kept = len(shown) - (len(capture.mark) if capture.truncated else 0)
    assert kept + capture.dropped == sum(map(len, chunks))
