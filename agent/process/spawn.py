"""Start one child in its own process group through posix_spawn(3), which copies no page tables.

``os.posix_spawn`` can't change the working directory, and ``subprocess`` takes a quarter more of our processor time for
each child (``make bench`` compares them), so the C library's function is called directly. Where it can't do all that is
needed (musl, glibc before 2.34), ``subprocess`` stands in.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import time
from collections.abc import Mapping, Sequence

from agent.process.children import CHILDREN
from agent.process.oom_score import OOM_SCORE
from agent.process.open_files import OPEN_FILES
from agent.process.syscalls import quick

_SETPGROUP, _SETSIGDEF, _SETSIGMASK = 0x02, 0x04, 0x08
#: Larger than any C library's posix_spawn structures (glibc: 80 and 336 bytes).
_STRUCT_BYTES = 1024
_SIGSET_BYTES = 128
#: A file that was just written may still be open for writing in a process that is between fork and exec.
_BUSY_TRIES, _BUSY_WAIT = 5, 0.025

_Strings = ctypes.Array[ctypes.c_char_p]


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str | None,
    stdin: int,
    stdout: int,
    stderr: int,
    score: int | None = None,
) -> int:
    """Start ``argv`` in a new process group with the given descriptors as its standard streams.

    ``argv[0]`` is looked up on the child's PATH when it holds no slash. No other descriptor reaches the child.
    ``score`` is the ``oom_score_adj`` that it and all its descendants get.
    Returns the process id, registered in ``CHILDREN``: the caller waits for it and releases it.

    Raises:
        OSError: the program could not be started (ENOENT, EACCES, ENOEXEC, E2BIG…).
        ValueError: an argument or a variable can't be encoded or holds a NUL character.
    """
    start = _start_with_subprocess if _library() is None else _start_with_posix_spawn
    for attempt in range(_BUSY_TRIES):
        try:
            with CHILDREN.starting() as mine, OPEN_FILES.as_given(max(stdin, stdout, stderr)):
                pid = start(argv, env, cwd, (stdin, stdout, stderr), score)
                mine.add(pid)
            OPEN_FILES.give(pid)
            return pid
        except OSError as error:
            if error.errno != errno.ETXTBSY or attempt == _BUSY_TRIES - 1:
                raise
            time.sleep(_BUSY_WAIT)
    raise AssertionError("unreachable")


def _start_with_posix_spawn(
    argv: Sequence[str],
    env: Mapping[str, str],
    cwd: str | None,
    streams: tuple[int, int, int],
    score: int | None,
) -> int:
    library, prepare = _library(), quick()
    assert library is not None
    program = _program(argv[0], env)
    actions = ctypes.create_string_buffer(_STRUCT_BYTES)
    prepare.posix_spawn_file_actions_init(actions)
    try:
        for target, source in enumerate(streams):
            prepare.posix_spawn_file_actions_adddup2(actions, source, target)
        if cwd is not None:
            prepare.posix_spawn_file_actions_addchdir_np(actions, os.fsencode(cwd))
        # Ours are close-on-exec; what this program was given by its own parent may not be.
        prepare.posix_spawn_file_actions_addclosefrom_np(actions, 3)
        pid = ctypes.c_int()
        words, variables = _strings(argv), _strings([f"{name}={value}" for name, value in env.items()])
        attributes = _attributes()
        with OOM_SCORE.inherited_as(score):
            code = library.posix_spawn(ctypes.byref(pid), program, actions, attributes, words, variables)
    finally:
        prepare.posix_spawn_file_actions_destroy(actions)
    if code:
        culprit = cwd if cwd is not None and not os.path.isdir(cwd) else os.fsdecode(program)
        raise OSError(code, os.strerror(code), culprit)
    return pid.value


def _start_with_subprocess(
    argv: Sequence[str],
    env: Mapping[str, str],
    cwd: str | None,
    streams: tuple[int, int, int],
    score: int | None,
) -> int:
    import subprocess  # here, because loading it takes longer than most interpreters need to say their version

    with OOM_SCORE.inherited_as(score):
        child = subprocess.Popen(
            argv, env=env, cwd=cwd, stdin=streams[0], stdout=streams[1], stderr=streams[2], process_group=0
        )
    child.returncode = 0  # the caller waits; Popen must neither poll nor warn when it is collected
    return child.pid


def _program(name: str, env: Mapping[str, str]) -> bytes:
    if "/" in name:
        return os.fsencode(name)
    for directory in os.get_exec_path(env):
        candidate = os.path.join(directory or ".", name)
        if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return os.fsencode(candidate)
    raise FileNotFoundError(errno.ENOENT, "not found on PATH", name)


def _strings(words: Sequence[str]) -> _Strings:
    """Return words as a C array that ends with a null pointer; encoded in one piece, which is faster by far."""
    encoded = os.fsencode("\0".join(words)).split(b"\0") if words else []
    if len(encoded) != len(words):
        raise ValueError("a NUL character")
    array = (ctypes.c_char_p * (len(encoded) + 1))()
    array[:-1] = [*encoded]
    return array


@functools.cache
def _library() -> ctypes.CDLL | None:
    """The C library, for calls that may take long: other threads run meanwhile. None where it can't do the job."""
    library = ctypes.CDLL(None)
    needed = ("posix_spawn_file_actions_addchdir_np", "posix_spawn_file_actions_addclosefrom_np")
    return library if all(hasattr(library, name) for name in needed) else None


@functools.cache
def _attributes() -> ctypes.Array[ctypes.c_char]:
    """Own process group, an empty signal mask, the default action for each signal; shared by all spawns."""
    library = quick()
    attributes = ctypes.create_string_buffer(_STRUCT_BYTES)
    defaults = ctypes.create_string_buffer(_SIGSET_BYTES)
    nothing = ctypes.create_string_buffer(_SIGSET_BYTES)
    library.sigemptyset(nothing)
    library.sigfillset(defaults)  # glibc looks each signal up that is not in the set
    library.posix_spawnattr_init(attributes)
    library.posix_spawnattr_setflags(attributes, ctypes.c_short(_SETPGROUP | _SETSIGDEF | _SETSIGMASK))
    library.posix_spawnattr_setpgroup(attributes, 0)
    library.posix_spawnattr_setsigdefault(attributes, defaults)
    library.posix_spawnattr_setsigmask(attributes, nothing)
    return attributes
