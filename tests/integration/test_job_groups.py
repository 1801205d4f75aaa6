"""Limits of jobs kept by control groups of version 2, on a kernel of this test's own: machines rarely delegate them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.services.availability import unavailable

ROOT = Path(__file__).resolve().parents[2]
#: Linux as a program of its own user (Debian's user-mode-linux), which has all controllers.
KERNEL = shutil.which("linux.uml")
TESTS = "tests/unit/process/test_control_group.py"

#: The first process of that kernel, whose files are this machine's. It gives pytest a delegated group to itself.
FIRST = """#!/bin/sh
mount -t proc proc /proc
mount -t tmpfs tmpfs /mnt
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo "+pids +memory" >/sys/fs/cgroup/cgroup.subtree_control
mkdir /sys/fs/cgroup/worker
export PATH={path} TMPDIR=/mnt HOME=/mnt PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 PYTHONDONTWRITEBYTECODE=1
cd {root}
sh -c 'echo $$ >/sys/fs/cgroup/worker/cgroup.procs; exec "$@"' sh {python} -m pytest {tests} -v -rs \\
    --noconftest --color=no -p no:cacheprovider -p no:xdist >{told} 2>&1
{python} -c 'import ctypes; ctypes.CDLL(None).reboot(0x4321FEDC)'
"""


def test_a_delegated_group_of_version_2_keeps_processes_and_memory(tmp_path: Path) -> None:
    if KERNEL is None:
        unavailable("a kernel that runs as a program", "install the Debian package user-mode-linux")
    first, told = tmp_path / "first", tmp_path / "told"
    names = {"path": os.environ["PATH"], "root": ROOT, "python": sys.executable, "tests": TESTS, "told": told}
    first.write_text(FIRST.format(**names))
    first.chmod(0o755)
    words = ["rootfstype=hostfs", "rootflags=/", "rw", "mem=900M", f"uml_dir={tmp_path}", f"init={first}", "con=null"]
    done = subprocess.run(
        [KERNEL, *words, "quiet"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        timeout=600,
        check=False,
    )
    text = told.read_text() if told.exists() else done.stdout.decode("utf-8", "replace")[-3000:]
    for test in (
        "test_the_kernel_refuses_a_job_more_processes_than_it_may_have",
        "test_a_job_that_copes_with_the_limit_completes",
        "test_the_kernel_kills_a_job_with_all_its_processes_for_want_of_memory[0]",
        "test_the_kernel_kills_a_job_with_all_its_processes_for_want_of_memory[3]",
    ):
        assert f"::{test} PASSED" in text, text
    assert " failed" not in text, text
