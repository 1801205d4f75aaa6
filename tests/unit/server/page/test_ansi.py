"""What a terminal would obey is dropped, colours become names, and text stays text."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.server.page.ansi import LONGEST_LINE, Terminal


def lines(text: str) -> list[list[tuple[str, str]]]:
    """Read a text that is whole."""
    return Terminal().lines(text, last=True)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1;32mok\x1b[0m done", [("ok", "t-bold f-green"), (" done", "")]),
        ("\x1b[91mbright\x1b[39m not", [("bright", "f-bright-red"), (" not", "")]),
        ("\x1b[38;5;196mred", [("red", "f-bright-red")]),
        ("\x1b[38;2;0;0;250mblue", [("blue", "f-bright-blue")]),
        ("\x1b]0;title\x07after", [("after", "")]),
        ("\x1b]52;c;c2VjcmV0\x1b\\after", [("after", "")]),
        ("\x1b]8;;javascript:alert(1)\x1b\\link\x1b]8;;\x1b\\", [("link", "")]),
        ("\x1bP+q544e\x1b\\after", [("after", "")]),
        ("a\x9b2Jb", [("a", ""), ("b", "")]),
        ("10 %\r50 %\r100 %", [("100 %", "")]),
        ("bell\x07nul\x00", [("bell␇nul␀", "")]),
        ("abc\u202edcba", [("abc\ufffddcba", "")]),
        ("\x1b[31", []),
    ],
)
def test_a_line_is_pieces_of_text(text: str, shown: list[tuple[str, str]]) -> None:
    assert lines(text) == [shown]


def test_a_style_goes_on_in_the_next_line_and_the_next_piece() -> None:
    terminal = Terminal()
    assert terminal.lines("\x1b[31mone\ntw") == [[("one", "f-red")]]
    assert terminal.lines("o\x1b[0m\n") == [[("two", "f-red")]]


def test_a_long_line_is_cut_and_says_so() -> None:
    (pieces,) = lines("x" * (LONGEST_LINE + 5))
    assert len(pieces[0][0]) == LONGEST_LINE
    assert "5 more characters" in pieces[1][0]


@pytest.mark.parametrize("beginning", ["\x9d", "\x1b]", "\x9b0;", "\x1b[ "], ids=["osc-c1", "osc", "csi-c1", "csi"])
@pytest.mark.parametrize("end", ["", "\x1b\x00"], ids=["open", "broken"])
def test_a_line_full_of_beginnings_is_read_once(beginning: str, end: str) -> None:
    begin = time.thread_time()
    lines((beginning * LONGEST_LINE)[: LONGEST_LINE - 2] + end)
    assert time.thread_time() - begin < 0.3


@given(st.text(alphabet=st.sampled_from("\x1b\x9b\x9d\x90]P[;0123mJ\x07\\\rab\x00"), max_size=200))
def test_nothing_of_a_terminal_gets_through(text: str) -> None:
    for line in lines(text):
        for words, style in line:
            assert not [sign for sign in words if ord(sign) < 32 or 0x7F <= ord(sign) < 0xA0]
            assert "\x1b" not in style
