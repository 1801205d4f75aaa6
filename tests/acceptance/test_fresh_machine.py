"""``attune up`` where there is nothing but Python and a shell: no server, no container engine, no other language."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.command import ROOT

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a root directory of its own"),
]

_TOOLS = "sh cat env ls mkdir rm sleep uname id dirname basename date sed grep head tail tr wc cut printf chmod"
# In a mount namespace of its own: what it mounts goes with its last process.
_MACHINE = """
set -e
mount -t tmpfs -o mode=755 fresh "$R"
cd "$R"
mkdir -p usr/lib usr/lib64 usr/bin etc dev proc tmp home/ann var/tmp
chmod 1777 tmp var/tmp
for link in lib lib64 bin; do ln -s usr/$link $link; done
for place in /usr/lib /dev /proc "$PYTHON" "$SOURCES" "$PACKAGES"; do
    mkdir -p ".$place"
    mount --rbind "$place" ".$place"
done
[ ! -d /usr/lib64 ] || mount --bind /usr/lib64 usr/lib64
[ ! -d usr/lib/jvm ] || mount -t tmpfs none usr/lib/jvm
for tool in $TOOLS; do cp -L "/usr/bin/$tool" usr/bin/; done
cp /etc/ld.so.cache etc/
echo 'ann:x:4711:4711:Ann:/home/ann:/bin/sh' > etc/passwd
echo 'ann:x:4711:' > etc/group
echo '127.0.0.1 localhost' > etc/hosts
chown 4711:4711 home/ann
exec chroot --userspec=4711:4711 . /usr/bin/env -i HOME=/home/ann PATH=/usr/bin LANG=C.UTF-8 /bin/sh -ec "$AS_ANN"
"""
_AS_ANN = """
export PYTHONPATH="$sources"
attune() { "$attune" -c "from agent.cli.operator import main; main()" "$@"; }
attune up --detach --port 0 --json > /tmp/up.json
export ATTUNE_CONFIG=/home/ann/.local/share/attune-up/config.yaml
attune run examples.hello_shell -p name=Ann > /tmp/run.json
attune worker show local --json > /tmp/worker.json
attune down
cat /tmp/up.json /tmp/run.json /tmp/worker.json
"""


def test_everything_runs_with_python_alone(tmp_path: Path) -> None:
    if not shutil.which("unshare"):
        pytest.skip("no unshare")
    root = tmp_path / "root"
    root.mkdir()
    settings = {
        "R": str(root), "PYTHON": sys.base_prefix, "SOURCES": str(ROOT), "PACKAGES": sys.prefix, "TOOLS": _TOOLS,
        "PATH": os.environ["PATH"],
        "AS_ANN": f"attune={sys.executable}\nsources={ROOT}\n{_AS_ANN}",
    }  # fmt: skip
    words = ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", _MACHINE]
    done = subprocess.run(words, env=settings, capture_output=True, text=True, timeout=240, check=False)
    if "permission denied" in done.stderr.lower() and "mount" in done.stderr:
        pytest.skip("nothing can be mounted here")
    assert done.returncode == 0, done.stderr
    decoder, text, found = json.JSONDecoder(), done.stdout.lstrip(), []
    while text:
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:].lstrip()
    up, ran, worker = found
    assert up["directory"] == "/home/ann/.local/share/attune-up"
    assert ran["greeting"] == "Hello, Ann!"
    assert set(worker["capabilities"]["runtimes"]) <= {"shell", "python", "native"}
