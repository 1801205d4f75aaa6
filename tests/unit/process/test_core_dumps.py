"""What a job knew is in no core dump."""

import subprocess
import sys


def test_neither_this_process_nor_what_it_starts_writes_a_core_dump() -> None:
    script = (
        "import resource, subprocess\n"
        "from agent.process.core_dumps import write_none\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)\n"
        "write_none()\n"
        "print(subprocess.check_output(['/bin/sh', '-c', 'ulimit -c'], text=True))"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "0"
