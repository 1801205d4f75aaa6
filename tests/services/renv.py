"""The real renv: from this machine's Debian or a newer one, unpacked beside the system, which stays without it."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.services.availability import unavailable
from tests.services.roots import CACHE, debian_mirror

#: The first of these that has the package; Debian 12 has none.
RELEASES = ("trixie", "sid")
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_APT = """
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::State::lists "{folder}/lists";
Dir::Cache "{folder}/cache";
Acquire::Languages "none";
APT::Sandbox::User "root";
"""


@pytest.fixture(scope="session")
def renv() -> Path:
    """A library of R with nothing but renv in it; downloaded once and kept for the next run."""
    CACHE.mkdir(parents=True, exist_ok=True)
    library = CACHE / "renv"
    with (CACHE / "renv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not library.exists():
            if not shutil.which("apt-get"):
                unavailable("renv", "run on Debian")
            mirror = debian_mirror()
            with tempfile.TemporaryDirectory(prefix="renv-", dir=CACHE) as directory:
                unpacked = next(
                    (made for name in RELEASES if (made := _unpacked(Path(directory) / name, mirror))), None
                )
                if unpacked is None:
                    unavailable("renv", f"{mirror} has no r-cran-renv in {', '.join(RELEASES)}")
                os.replace(unpacked, library)
    return library


def _unpacked(folder: Path, mirror: str) -> Path | None:
    """Download the package of the release that ``folder`` is called after, with lists of its own."""
    for place in ("lists/partial", "cache/archives/partial"):
        (folder / place).mkdir(parents=True)
    (folder / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {mirror} {folder.name} main\n")
    (folder / "apt.conf").write_text(_APT.format(folder=folder))
    env = {**os.environ, "APT_CONFIG": str(folder / "apt.conf")}
    for command in (["apt-get", "-qq", "update"], ["apt-get", "-qq", "download", "r-cran-renv"]):
        if subprocess.run(command, env=env, cwd=folder, capture_output=True, check=False).returncode != 0:
            return None
    (package,) = folder.glob("r-cran-renv_*.deb")
    subprocess.run(["dpkg-deb", "-x", package, folder / "root"], check=True)
    return folder / "root/usr/lib/R/site-library"
