"""Why a child could not be started, and what to do about it (pure)."""

from __future__ import annotations

import errno

from agent.process.request import ProcessRequest

_WANTS = (errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_REMEDIES = {
    errno.ENOENT: "no such file, or the interpreter that its first line names is missing",
    errno.EACCES: "not executable here (check its mode and that its file system is not mounted noexec)",
    errno.ENOEXEC: "not a program this machine can run (a script needs a #! line)",
    errno.E2BIG: "its arguments and environment are larger than the kernel allows",
    errno.ENOTDIR: "the working directory is not a directory",
    errno.EAGAIN: "the limit of processes is reached (raise it: --pids-limit, ulimit -u)",
    errno.EMFILE: "the limit of open files is reached (raise it: ulimit -n)",
    errno.ENFILE: "this machine's limit of open files is reached (raise fs.file-max)",
    errno.ENOMEM: "there is not enough memory",
}


def is_want(error: OSError | ValueError) -> bool:
    """Whether it is no fault of what was to be started: processes, descriptors or memory have run out."""
    return isinstance(error, OSError) and error.errno in _WANTS


def why_not_started(error: OSError | ValueError, request: ProcessRequest) -> str:
    """Say it in words, with the remedy."""
    if isinstance(error, ValueError):
        return f"can't start {request.argv[0]}: its arguments or environment can't be passed to a program: {error}"
    name = error.filename if isinstance(error.filename, str) else request.argv[0]
    return f"can't start {name}: {remedy(error)}"


def remedy(error: OSError) -> str:
    """Say what the kernel's number means for whoever starts a program."""
    return _REMEDIES.get(error.errno or 0, error.strerror or str(error))
