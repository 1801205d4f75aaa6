"""Perl: a local library with the modules of a cpanfile.

A pack that brings what ``carton bundle`` makes, a mirror in ``vendor/cache``, is installed from that.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from agent.environments.backend import BuildSite
from agent.environments.declared import Declared, read_text
from agent.process.child_env import container_environment

_REQUIRES = re.compile(r"""^\s*requires\s*\(?\s*["']([A-Za-z_][\w:]*)["']""", re.MULTILINE)
_BUNDLE = "vendor/cache"
_WGETRC = "wgetrc"
_NO_CPANM = re.compile(r"can't start cpanm|cpanm: (?:command )?not found")
#: Look for each module in the environment and in perl's own library, nowhere else, without loading it.
_LOOK = """
use Config; use File::Spec;
my @missing;
for my $name (@ARGV) {
  (my $file = "$name.pm") =~ s{::}{/}g;
  push @missing, "$name is not in the environment" unless grep { -e File::Spec->catfile($_, $file) }
    $ENV{PERL5LIB}, "$ENV{PERL5LIB}/$Config{archname}", "$ENV{PERL5LIB}/$Config{version}/$Config{archname}",
    $Config{privlibexp}, $Config{archlibexp};
}
die join("; ", @missing) . "\\n" if @missing;
"""


class LocalLib(Declared):
    """``env_type: local_lib``."""

    label = "local library"

    def local_inputs(self, pack_dir: Path, manifest: Path) -> Iterable[Path]:
        """Name the mirror that the pack brings."""
        return [manifest.parent / _BUNDLE] if _has_bundle(manifest.parent) else []

    def check_commands(self, site: BuildSite, installed_by: Sequence[str]) -> Sequence[Sequence[str]]:
        """Ask perl where the modules are."""
        declared = super().check_commands(site, installed_by)
        names = sorted(set(_REQUIRES.findall(read_text(site.manifest))) - {"perl"}) if site.manifest else []
        return declared or ([("{interpreter}", "-e", _LOOK, *names)] if names else [])

    def variables(self, site: BuildSite) -> Mapping[str, str]:
        """Find in the environment what was installed there before."""
        return {
            "PERL5LIB": f"{site.env_dir}/lib/perl5",
            "PERL_LOCAL_LIB_ROOT": str(site.env_dir),
            "PERL_MM_USE_DEFAULT": "1",
            **({"PERL_CPANM_OPT": _mirrors(site)} if _has_bundle(site.source) else {}),
            **({"WGETRC": f"{site.env_dir}/{_WGETRC}"} if site.installers.network.ca_file is not None else {}),
            **super().variables(site),
        }

    def stage(self, site: BuildSite) -> None:
        """Let wget, which cpanm may download with and which reads no variable, know of the operator's authorities.

        What the image says to wget stays.
        """
        super().stage(site)
        if site.installers.network.ca_file is not None:
            container = container_environment()
            own = container.get("WGETRC") or f"{container.get('HOME') or '/'}/.wgetrc"
            said = f"{read_text(Path(own)).rstrip()}\nca_certificate = {site.installers.network.ca_file}\n"
            (site.env_dir / _WGETRC).write_text(said, encoding="utf-8")

    def remedy(self, site: BuildSite, output: str) -> str | None:
        """Explain a machine that has perl alone."""
        if _NO_CPANM.search(output):
            return "this machine has perl but no cpanm; on Debian and Ubuntu: apt-get install cpanminus"
        return super().remedy(site, output)


def _has_bundle(folder: Path) -> bool:
    return (folder / _BUNDLE / "modules" / "02packages.details.txt.gz").is_file()


def _mirrors(site: BuildSite) -> str:
    """The pack's own mirror comes first; beside it only one that an operator named is asked."""
    named = site.installers.network.cpan_mirror
    mirrors = [f"file://{site.source / _BUNDLE}", *([named] if named else [])]
    return shlex.join([*(word for mirror in mirrors for word in ("--mirror", mirror)), "--mirror-only"])
