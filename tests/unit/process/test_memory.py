"""What a large result has left goes back to the system."""

import subprocess
import sys

from agent.process.memory import return_memory
from tests.services.memory import resident


def test_what_was_freed_below_something_that_is_kept_is_returned() -> None:
    pieces, kept = [], []
    for number in range(1_000):
        pieces.append(b"x" * (60_000 + number))  # too small to be mapped apart
        kept.append(b"x" * (2_000 + number % 7))
    del pieces
    full = resident()
    if return_memory():
        assert full - resident() > 40_000_000
    assert kept


#: A thread works with large pieces, as a slot does, the first of which is freed early; what it keeps lies behind them.
SCRIPT = """
import threading
from agent.process.memory import map_large_pieces, return_memory
from tests.services.memory import resident

def work():
    for _ in range(3):
        pieces = [b"x" * 10_000_000 for _ in range(4)]
        del pieces
    kept.append(b"x" * 60_000)

kept = []
possible = map_large_pieces()
before = resident()
thread = threading.Thread(target=work)
thread.start()
thread.join()
return_memory()
print(possible, resident() - before)
"""


def test_large_pieces_are_returned_from_every_thread_although_some_were_freed_before() -> None:
    possible, grown = subprocess.check_output([sys.executable, "-c", SCRIPT], text=True).split()
    if possible == "True":
        assert int(grown) < 5_000_000
