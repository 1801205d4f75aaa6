"""Ruby: a gem home with the gems of a Gemfile.

Bundler writes ``Gemfile.lock`` beside the Gemfile and obeys whatever the image says about its paths, so it works in the
copy of the pack. Gems of a ``path:`` or ``git:`` source lie in no gem home: where there are some, actions start with
``bundler/setup``, which knows them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from agent.environments.backend import BuildSite
from agent.environments.declared import Declared, read_text

_PATH = re.compile(r"""(?:\bpath:|:path\s*=>|\beval_gemfile|\bgemspec\b.*\bpath:)\s*\(?\s*["']([^"'\n]+)["']""")
#: A lock file that was made for this kind of machine.
_FOR_LINUX = re.compile(r"^PLATFORMS\n(?:  .*\n)*?  (?:ruby|.*linux.*)$", re.MULTILINE)
_NO_BUNDLER = re.compile(r"can't start bundle|bundle: (?:command )?not found")


class GemHome(Declared):
    """``env_type: gem_home``."""

    label = "gem home"

    def local_inputs(self, pack_dir: Path, manifest: Path) -> Iterable[Path]:
        """Name the gems of the pack, included Gemfiles, and its gemspec."""
        text, pack = read_text(manifest), pack_dir.resolve()
        named = [(manifest.parent / path).resolve() for path in _PATH.findall(text)]
        if re.search(r"^\s*gemspec\b", text, re.MULTILINE):
            named += manifest.parent.glob("*.gemspec")
        return [path for path in named if path.is_relative_to(pack) and path.exists() and path != pack]

    def declares_nothing(self, manifest: Path) -> bool:
        """Whether it has no line but comments and sources."""
        lines = (line.split("#")[0].strip() for line in read_text(manifest).splitlines())
        return all(not line or re.match(r"(source|ruby|git_source)\b", line) for line in lines)

    def keeps_source(self, site: BuildSite) -> bool:
        """The lock file, and gems that are used where they lie, are there."""
        return super().keeps_source(site) or self._needs_setup(site)

    def check_commands(self, site: BuildSite, installed_by: Sequence[str]) -> Sequence[Sequence[str]]:
        """Ask bundler whether all is there."""
        return super().check_commands(site, installed_by) or [("bundle", "check")]

    def variables(self, site: BuildSite) -> Mapping[str, str]:
        """Put gems into the gem home, where rubygems finds them without bundler."""
        return {
            "GEM_HOME": f"{site.env_dir}/gems",
            "GEM_PATH": f"{site.env_dir}/gems",
            "BUNDLE_GEMFILE": str(site.manifest or site.source / "Gemfile"),
            "BUNDLE_APP_CONFIG": f"{site.env_dir}/.bundle",
            "BUNDLE_PATH__SYSTEM": "true",
            "BUNDLE_DEPLOYMENT": "false",
            "BUNDLE_FROZEN": "true" if _brings_its_gems(site.source) else "false",
            "BUNDLE_SILENCE_ROOT_WARNING": "true",
            "BUNDLE_USER_HOME": str(site.installers.cache_dir / "bundle"),
            **super().variables(site),
        }

    def run_variables(self, site: BuildSite) -> Mapping[str, str]:
        """Start with bundler where a gem lies outside the gem home."""
        if not self._needs_setup(site):
            return {}
        return {
            "BUNDLE_GEMFILE": str(site.manifest),
            "BUNDLE_APP_CONFIG": f"{site.env_dir}/.bundle",
            "BUNDLE_PATH__SYSTEM": "true",
            "BUNDLE_FROZEN": "true",
            "BUNDLE_USER_HOME": str(site.installers.cache_dir / "bundle"),
            "RUBYOPT": "-rbundler/setup",
        }

    def remedy(self, site: BuildSite, output: str) -> str | None:
        """Explain a machine that has ruby alone."""
        if _NO_BUNDLER.search(output):
            return "this machine has ruby but no bundler: gem install bundler, or apt-get install ruby-bundler"
        return super().remedy(site, output)

    def _needs_setup(self, site: BuildSite) -> bool:
        if site.manifest is None or self.declares_nothing(site.manifest):
            return False
        lock = read_text(site.manifest.with_name(f"{site.manifest.name}.lock"))
        return re.search(r"^(PATH|GIT)$", lock, re.MULTILINE) is not None


def _brings_its_gems(folder: Path) -> bool:
    """Whether the pack has what ``bundle cache`` makes; unless it is frozen, bundler would still ask a server."""
    cached = any((folder / "vendor/cache").glob("*.gem"))
    return cached and _FOR_LINUX.search(read_text(folder / "Gemfile.lock")) is not None
