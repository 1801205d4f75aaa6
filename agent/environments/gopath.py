"""Go: a GOPATH with the modules of a go.mod and what the compiler has built."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from agent.environments.backend import BuildSite
from agent.environments.declared import Declared, read_text

_REQUIRE = re.compile(r"^\s*(?:require\s+\S|require\s*\()", re.MULTILINE)
_REPLACED = re.compile(r"=>\s*(\.{1,2}/\S+)")
#: The same when building and running: the modules must stay removable, and go itself the one that was chosen.
_FLAGS = {"GOFLAGS": "-modcacherw", "GOTOOLCHAIN": "local", "GOENV": "off"}


def _is_vendored(site: BuildSite) -> bool:
    """Whether the pack brings its modules, as ``go mod vendor`` puts them there."""
    return (site.request.pack_dir / "vendor" / "modules.txt").exists()


def _shared(site: BuildSite) -> Mapping[str, str]:
    """What building and running have in common.

    The compiler's results are found by what they were made from, so all packs share them: the standard library alone
    takes many seconds, for each pack again.
    """
    # Other languages keep things in a folder of this name, too; go takes any for its own.
    others = (site.request.pack_dir / "vendor").is_dir() and not _is_vendored(site)
    # A workspace belongs to the pack, or to somebody in whose directory the packs happen to lie.
    workspace = {} if (site.request.pack_dir / "go.work").exists() else {"GOWORK": "off"}
    flags = f"{_FLAGS['GOFLAGS']} -mod=readonly" if others else _FLAGS["GOFLAGS"]
    cache = str(site.installers.cache_dir / "go-build")
    return {**_FLAGS, **workspace, "GOFLAGS": flags, "GOCACHE": cache}


class GoPath(Declared):
    """``env_type: gopath``."""

    label = "GOPATH"

    def local_inputs(self, pack_dir: Path, manifest: Path) -> Iterable[Path]:
        """Name the manifests of modules that are replaced by directories of the pack; their code is compiled later."""
        pack = pack_dir.resolve()
        named = ((manifest.parent / path / "go.mod").resolve() for path in _REPLACED.findall(read_text(manifest)))
        return [path for path in named if path.is_relative_to(pack)]

    def declares_nothing(self, manifest: Path) -> bool:
        """Whether it requires no module."""
        return _REQUIRE.search(read_text(manifest)) is None

    def install_command(self, site: BuildSite) -> Sequence[str]:
        """Download nothing for a pack that brings its modules; go says whether they fit its go.mod."""
        declared = super().install_command(site)
        return ("go", "list", "-mod=vendor", "runtime") if declared and _is_vendored(site) else declared

    def check_commands(self, site: BuildSite, installed_by: Sequence[str]) -> Sequence[Sequence[str]]:
        """Compare what was downloaded with go.sum."""
        return super().check_commands(site, installed_by) or ([] if _is_vendored(site) else [("go", "mod", "verify")])

    def check(self, site: BuildSite) -> str | None:
        """Whether go had to add to go.sum: at the run, which must not change it, that would fail."""
        if site.manifest is None:
            return None
        wanted, made = (read_text(folder / "go.sum") for folder in (site.request.pack_dir, site.manifest.parent))
        added = sorted(set(made.splitlines()) - set(wanted.splitlines()))
        return f"go.sum lacks {', '.join(' '.join(line.split()[:2]) for line in added[:3])}" if added else None

    def variables(self, site: BuildSite) -> Mapping[str, str]:
        """Keep the modules in the environment."""
        places = {"GOPATH": str(site.env_dir), "GOMODCACHE": f"{site.env_dir}/pkg/mod"}
        return {**places, **_shared(site), **super().variables(site)}

    def run_variables(self, site: BuildSite) -> Mapping[str, str]:
        """Keep the flags of the build."""
        return _shared(site)

    def run_caches(self) -> Sequence[str]:
        """On a read-only volume the user's own cache, if there is one, has to do."""
        return ("GOCACHE",)

    def remedy(self, site: BuildSite, output: str) -> str | None:
        """Say how a go.sum is completed."""
        if "missing go.sum entry" in output or "go.sum lacks" in output:
            return "run go mod tidy in the pack and keep go.sum with it"
        return super().remedy(site, output)
