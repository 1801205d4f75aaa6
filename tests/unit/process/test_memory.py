"""What a large result has left goes back to the system."""

import subprocess
import sys

#: In a process of its own: where other tests have left room in the heap, these pieces grow nothing.
FREED = """
from agent.process.memory import return_memory
from tests.services.memory import resident

pieces, kept = [], []
for number in range(1_000):
    pieces.append(b"x" * (60_000 + number))  # too small to be mapped apart
    kept.append(b"x" * (2_000 + number % 7))
del pieces
full = resident()
print(return_memory(), full - resident())
"""


def test_what_was_freed_below_something_that_is_kept_is_returned() -> None:
    possible, returned = subprocess.check_output([sys.executable, "-c", FREED], text=True).split()
    if possible == "True":
        assert int(returned) > 40_000_000


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
