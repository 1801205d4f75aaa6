"""Find the forms of secrets in bytes, at a cost that does not depend on how many forms there are (pure).

Every form is at least as long as a few machine words. So wherever it lies in the data, one whole *aligned* word of the
data is a word of the form, near its beginning. The data are looked at as an array of words, and a set tells which
of them occur in a form: that is one look-up for each eight bytes, in C. Only where a word is known the form itself is
compared, in a tree of prefixes that also knows whether the end of the data may be the beginning of a form.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

#: So many short forms are searched for one by one: that takes less than a second look at everything.
_FEW = 8

#: Bytes that are looked at together: where a word is known, so many are looked at again.
_BLOCK = 4096

Span = tuple[int, int]


@dataclass(frozen=True)
class Found:
    """Where forms lie: ``spans`` do not overlap and are in order.

    ``open_at`` is the first position from which all of the data is the beginning of a longer form, None if there is
    none or nothing follows; ``spans`` are then those that begin there or before.
    """

    spans: list[Span]
    open_at: int | None


class FormIndex:
    """All forms of all secrets of one execution; none is empty or shorter than four bytes."""

    def __init__(self, forms: Iterable[bytes]) -> None:
        """Prepare to find ``forms``."""
        ordered = sorted(set(forms))
        self._tree = _tree(ordered)
        tiny = [form for form in ordered if len(form) < _QUARTERS.window]
        small = [form for form in ordered if _QUARTERS.window <= len(form) < _WORDS.window]
        large = [form for form in ordered if len(form) >= _WORDS.window]
        if len(tiny) + len(small) <= _FEW:
            self._singly, self._scan, scanned = tiny + small, _WORDS, large
        elif len(tiny) <= _FEW:
            self._singly, self._scan, scanned = tiny, _QUARTERS, small + large
        else:
            self._singly, self._scan, scanned = [], _EVERYWHERE, ordered
        self._offsets = self._scan.offsets(scanned)
        self._words = frozenset(self._offsets)
        self._shortest = min(map(len, ordered), default=0)

    def is_beginning(self, data: bytes) -> bool:
        """Tell whether all of ``data`` is the beginning of a longer form."""
        return self._tree.match(data, 0)[1]

    def find(self, data: bytes, *, open_end: bool = False) -> Found:
        """Return where forms lie in ``data``; ``open_end`` says that more may follow."""
        if len(data) < self._shortest and not open_end:
            return Found([], None)
        starts = {start for form in self._singly for start in _occurrences(form, data)}
        starts.update(self._starts(data))
        if open_end:
            starts.update(range(max(0, len(data) - self._scan.window + 1), len(data)))
        return self._verified(sorted(starts), data, open_end=open_end)

    def _starts(self, data: bytes) -> Iterator[int]:
        """Yield where a form may begin."""
        size, step = self._scan.size, _BLOCK // self._scan.size
        for shift in self._scan.shifts if self._words else ():
            count = (len(data) - shift) // size
            view = memoryview(data)[shift : shift + count * size].cast(self._scan.code) if count > 0 else ()
            for begin in range(0, count, step):
                block = view[begin : begin + step]
                if self._words.isdisjoint(block):
                    continue
                for index, word in enumerate(block, begin):
                    for offset in self._offsets.get(word, ()):
                        if (start := shift + index * size - offset) >= 0:
                            yield start

    def _verified(self, starts: Iterable[int], data: bytes, *, open_end: bool) -> Found:
        spans: list[Span] = []
        open_at = None
        for start in starts:
            length, is_open = self._tree.match(data, start)
            if length and spans and start < spans[-1][1]:
                spans[-1] = (spans[-1][0], max(spans[-1][1], start + length))
            elif length:
                spans.append((start, start + length))
            if is_open and open_end:  # what comes behind is looked at again, with what follows
                open_at = start
                break
        return Found(spans, open_at)


@dataclass(frozen=True)
class _Scan:
    """One way to look at data as words: ``size`` bytes each, at ``shifts`` alignments."""

    code: Literal["Q", "I"]
    size: int
    shifts: tuple[int, ...]

    @property
    def step(self) -> int:
        """How far two looked-at words are apart."""
        return self.size // len(self.shifts)

    @property
    def window(self) -> int:
        """In so many bytes of any data at least one whole word is looked at."""
        return self.size + self.step - 1

    def offsets(self, forms: Iterable[bytes]) -> dict[int, tuple[int, ...]]:
        """Return the words at the beginning of ``forms`` with their offsets in them."""
        offsets: dict[int, set[int]] = {}
        for form in forms:
            for offset in range(self.step):
                word = int.from_bytes(form[offset : offset + self.size], sys.byteorder)
                offsets.setdefault(word, set()).add(offset)
        return {word: tuple(sorted(found)) for word, found in offsets.items()}


_WORDS = _Scan("Q", 8, (0,))
_QUARTERS = _Scan("I", 4, (0,))
_EVERYWHERE = _Scan("I", 4, (0, 1, 2, 3))


@dataclass
class _Node:
    """One branch of the tree of prefixes: what follows its parent's text, and whether a form ends behind that."""

    label: bytes
    is_form: bool = False
    children: dict[int, _Node] = field(default_factory=dict)

    def match(self, data: bytes, start: int) -> tuple[int, bool]:
        """Return the length of the longest form at ``start`` (0: none), and whether a longer one may have begun."""
        node, position, longest = self, start, 0
        while True:
            label = node.label
            if not data.startswith(label, position):
                left = len(data) - position
                return longest, left < len(label) and label.startswith(data[position:])
            position += len(label)
            if node.is_form:
                longest = position - start
            if position == len(data):
                return longest, bool(node.children)
            child = node.children.get(data[position])
            if child is None:
                return longest, False
            node = child


def _tree(forms: list[bytes]) -> _Node:
    """Build the tree of ``forms``, which are sorted: a form is followed by those that begin with it."""
    root = _Node(b"")
    path: list[tuple[int, _Node]] = [(0, root)]  # from the root to the last form; where each node's text ends
    last = b""
    for form in forms:
        shared = _shared(last, form)
        while path[-1][0] > shared:
            end, node = path.pop()
            begin = end - len(node.label)
            if begin < shared:  # the new form leaves in the middle of this branch
                parent = path[-1][1]
                upper = _Node(node.label[: shared - begin], children={last[shared]: node})
                node.label = node.label[shared - begin :]
                parent.children[last[begin]] = upper
                path.append((shared, upper))
        if len(form) == shared:
            path[-1][1].is_form = True
        else:
            leaf = _Node(form[shared:], is_form=True)
            path[-1][1].children[form[shared]] = leaf
            path.append((len(form), leaf))
        last = form
    return root


def _shared(one: bytes, other: bytes) -> int:
    """Return how many bytes two texts have in common at their beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _occurrences(form: bytes, data: bytes) -> Iterator[int]:
    start = data.find(form)
    while start >= 0:
        yield start
        start = data.find(form, start + 1)
