"""Perl: a local library with the modules of a cpanfile."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from agent.environments.backend import BuildSite
from agent.environments.declared import Declared, read_text

_REQUIRES = re.compile(r"""^\s*requires\s*\(?\s*["']([A-Za-z_][\w:]*)["']""", re.MULTILINE)
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

    def check_command(self, site: BuildSite) -> Sequence[str]:
        """Ask perl where the modules are."""
        declared = super().check_command(site)
        names = sorted(set(_REQUIRES.findall(read_text(site.manifest))) - {"perl"}) if site.manifest else []
        return declared or (("{interpreter}", "-e", _LOOK, *names) if names else ())

    def variables(self, site: BuildSite) -> Mapping[str, str]:
        """Find in the environment what was installed there before."""
        return {
            "PERL5LIB": f"{site.env_dir}/lib/perl5",
            "PERL_LOCAL_LIB_ROOT": str(site.env_dir),
            "PERL_MM_USE_DEFAULT": "1",
            **super().variables(site),
        }

    def remedy(self, site: BuildSite, output: str) -> str | None:
        """Explain a machine that has perl alone."""
        if _NO_CPANM.search(output):
            return "this machine has perl but no cpanm; on Debian and Ubuntu: apt-get install cpanminus"
        if re.search(r"\b(cc|gcc|make): (?:command )?not found|can't find (?:make|cc)\b", output, re.IGNORECASE):
            return "a module has to be compiled; on Debian and Ubuntu: apt-get install build-essential"
        return None
