"""What masking costs for each megabyte of output: with one secret, and with a thousand forms of many."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from agent.execution.secrets.masking import Masker, MaskingStream
from agent.execution.secrets.secret_forms import forms_of

_CHUNK = 65_536
_TEXT = b"2026-01-01T00:00:00Z INFO  the quick brown fox jumps over the lazy dog, 1234567890\n" * 100_000


@dataclass(frozen=True)
class MaskingSpeed:
    """Megabytes a second of processor time; ``forms`` is how many the many secrets have."""

    one: float
    many: float
    forms: int


def masking_speed(rounds: int = 5) -> MaskingSpeed:
    """Mask 8 MB that hold no secret, in pieces as they come from a pipe; the best of several rounds."""
    generator = random.Random(0)
    many = [f"secret/{generator.getrandbits(128):x}+{number}" for number in range(90)]
    forms = len({form for value in many for form in forms_of(value)})
    return MaskingSpeed(_speed(many[:1], rounds), _speed(many, rounds), forms)


def _speed(values: list[str], rounds: int) -> float:
    masker = Masker(values)
    return max(_once(masker) for _ in range(rounds))


def _once(masker: Masker) -> float:
    stream = MaskingStream(masker)
    before = time.process_time()
    for begin in range(0, len(_TEXT), _CHUNK):
        stream.feed(_TEXT[begin : begin + _CHUNK])
    stream.finish()
    return len(_TEXT) / 1e6 / (time.process_time() - before)
