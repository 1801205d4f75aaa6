"""Give memory back that a large result has left: the C library keeps much of what was freed for the next one."""

from __future__ import annotations

from agent.process.syscalls import quick

#: From mallopt(3).
_M_MMAP_THRESHOLD = -3
#: From so many bytes on, a piece of memory is mapped apart.
_LARGE_BYTES = 1024 * 1024


def map_large_pieces() -> bool:
    """Let each large piece of memory go back to the system when it is freed; False where the C library can't (musl).

    Left to itself glibc maps them apart only until the first one was freed: from then on those up to that size come
    from the heap of the thread. It keeps the end of that, which ``return_memory`` does not reach.
    """
    library = quick()
    return hasattr(library, "mallopt") and library.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES) == 1


def return_memory() -> bool:
    """Return free pages to the system (malloc_trim(3)); False where the C library has no such call."""
    library = quick()
    if not hasattr(library, "malloc_trim"):
        return False
    library.malloc_trim(0)
    return True
