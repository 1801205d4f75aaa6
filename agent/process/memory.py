"""Give memory back that a large result has left: the C library keeps what was freed in the middle of its heap."""

from __future__ import annotations

from agent.process.syscalls import quick


def return_memory() -> bool:
    """Return free pages to the system (malloc_trim(3)); False where the C library has no such call."""
    library = quick()
    if not hasattr(library, "malloc_trim"):
        return False
    library.malloc_trim(0)
    return True
