"""Which control group this process is in, as the kernel tells (cgroups(7))."""

from __future__ import annotations


def path_of_group(told: str, controller: str) -> str | None:
    """Return the path of the group that counts ``controller``, "" for version 2; None where there is none (pure).

    ``told`` is the text of ``/proc/self/cgroup``. A container may be told a path of its host, which it can't see.
    """
    for line in told.splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controller in controllers.split(","):
            return path
    return None
