"""Say what is in the one-file agent: a CycloneDX list of components, and their licences.

    python build/sbom.py TREE PROGRAM

reads PyInstaller's own tables of what it collected for TREE and writes PROGRAM.cdx.json and PROGRAM.licences.txt beside
the packed PROGRAM. Run it in the environment that froze the agent.
"""

from __future__ import annotations

import ast
import hashlib
import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pack
from freeze import LIBC

#: Linked into the program by the packer (Debian's names), and the boot loader.
LAUNCHER_PACKAGES = ("libc6-dev", "libzstd-dev")
BOOT_LOADER = "pyinstaller"
#: Packed as data.
DATA_DISTRIBUTIONS = ("certifi", "tzdata")


@dataclass(frozen=True, order=True)
class Component:
    """One thing that somebody else made: a Python distribution or a Debian package."""

    name: str
    version: str
    licence: str
    purl: str
    text: str


def main(tree: Path, program: Path) -> None:
    """Write both files."""
    components = sorted(set(find_components(tree)))
    digest = hashlib.sha256(program.read_bytes()).hexdigest()
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, digest)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "name": "attune-agent",
                "version": pack.agent_version(),
                "hashes": [{"alg": "SHA-256", "content": digest}],
            }
        },
        "components": [entry(component) for component in components],
    }
    program.with_name(f"{program.name}.cdx.json").write_text(json.dumps(document, indent=1) + "\n")
    texts = (f"{'=' * 80}\n{item.name} {item.version}: {item.licence}\n\n{item.text.strip()}\n" for item in components)
    program.with_name(f"{program.name}.licences.txt").write_text("\n".join(texts))
    print(f"{len(components)} components in {program}")


def entry(component: Component) -> dict[str, object]:
    """Return a component in CycloneDX's words."""
    return {
        "type": "library",
        "name": component.name,
        "version": component.version,
        "purl": component.purl,
        "licenses": [{"license": {"name": component.licence}}],
    }


def find_components(tree: Path) -> Iterator[Component]:
    """Yield every component from which a file or a module was taken."""
    owners = owners_of_files()
    sources = {*collected(tree), *libc_sources()}
    for owner in {owners[source].name: owners[source] for source in sources if source in owners}.values():
        yield from_distribution(owner)
    for package in debian_packages(source for source in sources if source not in owners):
        yield from_package(package)
    for name in (BOOT_LOADER, *DATA_DISTRIBUTIONS):
        yield from_distribution(Distribution.from_name(name))
    for package in LAUNCHER_PACKAGES:
        if package_version(package):
            yield from_package(package)


def collected(tree: Path) -> Iterator[Path]:
    """Yield the sources of all that PyInstaller collected and that is still in the tree."""
    work = tree.parent / "pyinstaller" / "work" / "agent"
    (files,) = ast.literal_eval((work / "COLLECT-00.toc").read_text())
    _, modules = ast.literal_eval((work / "PYZ-00.toc").read_text())[:2]
    for name, source, _ in [*files, *modules]:
        if source not in ("-", "") and Path(source).is_absolute() and not name.endswith(".toc"):
            yield Path(source).resolve()


def libc_sources() -> Iterable[Path]:
    """Return the files of the private C library."""
    import sysconfig

    directory = Path("/lib") / sysconfig.get_config_var("MULTIARCH")
    return [(directory / name).resolve() for name in LIBC]


def owners_of_files() -> dict[Path, Distribution]:
    """Return the distribution to which each installed file belongs."""
    found = {}
    for distribution in distributions():
        for file in distribution.files or []:
            found[Path(str(distribution.locate_file(file))).resolve()] = distribution
    return found


def from_distribution(distribution: Distribution) -> Component:
    """Describe a Python distribution; its licence files hold the licences of what it bundles, too."""
    meta = distribution.metadata
    name = str(meta["Name"])
    licence = meta.get("License-Expression") or meta.get("License") or "see its text"
    files = [
        file for file in distribution.files or [] if "licen" in file.name.lower() or "copying" in file.name.lower()
    ]
    text = "\n".join(file.read_text() for file in sorted(files) if file.suffix != ".py")
    purl = f"pkg:pypi/{name.lower()}@{distribution.version}"
    return Component(name, distribution.version, licence.splitlines()[0], purl, text)


def debian_packages(paths: Iterable[Path]) -> set[str]:
    """Return the Debian packages that these files come from; none on other systems."""
    if shutil.which("dpkg-query") is None:
        return set()
    # Where /lib is a link to /usr/lib, some packages still know their files by the old name.
    names = [name for path in paths for name in (str(path), str(path).removeprefix("/usr"))]
    done = subprocess.run(["dpkg-query", "-S", *names], capture_output=True, text=True, check=False)
    return {line.partition(":")[0] for line in done.stdout.splitlines() if not line.startswith("diversion ")}


def package_version(package: str) -> str:
    """Return the installed version of a Debian package, empty where there is none."""
    if shutil.which("dpkg-query") is None:
        return ""
    command = ["dpkg-query", "-W", "-f", "${Version}\n", package]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.partition("\n")[0]


def from_package(package: str) -> Component:
    """Describe a Debian package; its copyright file is required to be complete."""
    version = package_version(package)
    path = Path("/usr/share/doc") / package / "copyright"
    text = path.read_text(errors="replace") if path.exists() else ""
    names = {line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("License:")}
    licence = " AND ".join(sorted(names - {""})) or "see its text"
    return Component(package, version, licence, f"pkg:deb/debian/{package}@{version}", text)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
