"""What a large result has left goes back to the system."""

from pathlib import Path

from agent.process.memory import return_memory


def resident() -> int:
    """Pages of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1])


def test_what_was_freed_below_something_that_is_kept_is_returned() -> None:
    pieces = [b"x" * (60_000 + number) for number in range(1_000)]  # too small to be mapped apart
    kept = [bytes(1_000) for _ in range(10)]
    full = resident()
    del pieces
    if return_memory():
        assert (full - resident()) * 4096 > 40_000_000
    assert kept
