"""What an action writes reaches a terminal with its colours, and drives nothing else of it."""

from __future__ import annotations

import time

import pytest

from agent.cli.terminal_filter import TerminalFilter, harmless


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\ttext\r\n", "plain\n\ttext\r\n"),
        ("\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m"),
        ("\x1b[38:2:1:2:3mx\x1b[m", "\x1b[38:2:1:2:3mx\x1b[m"),
        ("\x1b[2J\x1b[H\x1b[10Ax", "x"),
        ("\x1b]0;title\x07x\x1b]2;title\x1b\\y", "xy"),
        ("\x1b]52;c;aGVsbG8=\x07x", "x"),
        ("\x1bPq#0\x1b\\x\x1b_a\x1b\\\x1b^b\x1b\\", "x"),
        ("\x1b[6n\x1b[?1049h\x1b[>cx", "x"),
        ("\x1bcx\x1b(0y\x1b7", "xy"),
        ("a\rb\x08\x07\x00c", "a\nbc"),
        ("\x9b2J\x9d0;t\x9cx", "2Jx"),
        ("é€😀", "é€😀"),
        ("\x1b", ""),
        ("\x1b]0;never ends", ""),
    ],
)
def test_colours_stay_and_the_rest_goes(text: str, shown: str) -> None:
    assert harmless(text) == shown


@pytest.mark.parametrize(
    "text", ["a\x1b[1;31mred\x1b[0mb", "a\x1b]52;c;x\x07b", "é\x1b[2Jx", "a\r\nb\rc", "\x1b]0;t\x1b\\z"]
)
def test_a_sequence_may_be_split_anywhere(text: str) -> None:
    encoded = text.encode()
    whole = harmless(text).encode()
    for cut in range(len(encoded) + 1):
        found = TerminalFilter()
        assert found.feed(encoded[:cut]) + found.feed(encoded[cut:]) + found.finish() == whole, cut


def test_output_full_of_beginnings_is_read_once() -> None:
    begin = time.thread_time()
    for beginning in ("\x9d", "\x1b]", "\x1b[ "):
        harmless(beginning * 30_000)
    assert time.thread_time() - begin < 0.5
