"""Nothing is installed that isn't locked: every file by its hash, every set with all that it needs."""

from __future__ import annotations

import re
import shlex
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "requirements").glob("*.txt"))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
#: What each set is made for: extras and groups of pyproject.toml, beside what the project itself needs.
SETS = {
    "demo": ("demo",),
    "server": ("server",),
    "unit": ("server", "test"),
    "dev": ("demo", "server", "test", "lint", "packaging"),
}
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def entries(path: Path) -> list[str]:
    """The logical lines of a file of requirements, without comments."""
    text = "\n".join(
        line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")
    )
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def locked(path: Path) -> dict[str, Requirement]:
    """What a file locks, by name."""
    found = [Requirement(entry.partition(" --hash")[0]) for entry in entries(path)]
    return {canonicalize_name(one.name): one for one in found}


def wanted(parts: tuple[str, ...]) -> list[Requirement]:
    """What pyproject.toml asks for; an extra that names another one of ours is followed."""
    extras, groups = PROJECT["project"]["optional-dependencies"], PROJECT["dependency-groups"]
    texts = [*PROJECT["project"]["dependencies"]]
    rest = list(parts)
    while rest:
        part = rest.pop()
        for text in extras.get(part) or groups[part]:
            one = Requirement(text)
            if one.name == PROJECT["project"]["name"]:
                rest += one.extras
            else:
                texts.append(text)
    return [Requirement(text) for text in texts]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_distribution_has_one_version_and_hashes(path: Path) -> None:
    for entry in entries(path):
        requirement, *options = entry.partition(" --hash")[0], *_HASH.findall(entry)
        assert [one.operator for one in Requirement(requirement).specifier] == ["=="], requirement
        assert options, f"{requirement} has no hash"
        assert _HASH.sub("", entry).strip() == requirement.strip(), "nothing but hashes follows a version"


def test_all_sets_agree() -> None:
    everything = locked(ROOT / "requirements" / "dev.txt")
    for path in FILES:
        for name, one in locked(path).items():
            assert one.specifier == everything[name].specifier, f"{path.name}: {name}; run `make lock`"


@pytest.mark.parametrize("name", SETS)
def test_a_set_holds_what_the_project_asks_for(name: str) -> None:
    held = locked(ROOT / "requirements" / f"{name}.txt")
    for one in wanted(SETS[name]):
        entry = held.get(canonicalize_name(one.name))
        assert entry is not None, f"{one} is not in {name}.txt; run `make lock`"
        (version,) = entry.specifier
        assert one.specifier.contains(version.version), f"{one} is not {entry}; run `make lock`"


def test_what_is_frozen_is_what_the_project_needs_and_is_locked() -> None:
    held = locked(ROOT / "requirements" / "build.txt")
    lines = (ROOT / "build" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    frozen = {canonicalize_name(Requirement(line).name) for line in lines if line and not line.startswith("#")}
    assert frozen <= set(held)
    # click belongs to the operator's command, which is not frozen
    assert {canonicalize_name(one.name) for one in wanted(())} - {"click"} <= frozen


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_a_distribution_needs_is_locked_with_it(path: Path) -> None:
    held = locked(path)
    for name, entry in held.items():
        if entry.marker is not None and not entry.marker.evaluate():
            continue
        try:
            needed = [Requirement(text) for text in metadata.requires(name) or []]
        except metadata.PackageNotFoundError:
            continue  # of a set that isn't installed here
        for one in needed:
            if one.marker is None or one.marker.evaluate({"extra": ""}):
                assert canonicalize_name(one.name) in held, f"{name} needs {one}; run `make lock`"


def installations() -> list[tuple[str, str]]:
    """Each command of ours that fetches or installs distributions, with the file that it stands in."""
    found = []
    for path in (*ROOT.glob("scripts/*.sh"), *ROOT.glob("build/*.sh"), ROOT / "docker" / "Dockerfile.agent"):
        for line in path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
            for command in re.split(r"&&|;", line):
                if not command.lstrip().startswith("#") and re.search(r"\bpip\"? (install|download|wheel)\b", command):
                    found.append((path.name, command))
    return found


def test_every_installation_checks_hashes_or_brings_nothing_along() -> None:
    commands = installations()
    assert {name for name, _ in commands} >= {"venv.sh", "prepare.sh", "Dockerfile.agent"}
    for name, command in commands:
        words = set(shlex.split(command, comments=True))
        assert words & {"--require-hashes", "--no-deps"}, f"{name}: {command.strip()}"
        assert ("-r" in words) == ("--require-hashes" in words), f"{name}: {command.strip()}"
        assert words & {"--only-binary", "--no-index", "--no-build-isolation"}, f"{name}: {command.strip()}"
