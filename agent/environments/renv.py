"""R: a library with the packages of a renv.lock."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.environments.backend import BuildSite
from agent.environments.declared import Declared, read_text
from agent.reading.json_text import read_json

#: Arguments: the pack's copy, the library, the repository that the lock file names or "-", then PACKAGE=VERSION. Where
#: renv is missing, source packages in the pack are installed by R itself; only what is not there needs renv, from the
#: pack or from a mirror.
_RESTORE = """
args <- commandArgs(TRUE); project <- args[1]; library <- args[2]; named <- args[3]
dir.create(library, recursive = TRUE, showWarnings = FALSE)
.libPaths(c(library, .libPaths()))
cellar <- function(name, version) {
  file <- paste0(name, "_", version, ".tar.gz")
  Sys.glob(file.path(project, "renv", "cellar", c(file, file.path(name, file))))
}
have <- function(name) requireNamespace(name, quietly = TRUE)
install <- function(name, file) {  # R itself only warns when it fails
  install.packages(file, lib = library, repos = NULL, type = "source")
  if (!file.exists(file.path(library, name, "DESCRIPTION"))) stop(name, " can't be installed from ", file)
}
if (!have("renv")) {
  wanted <- strsplit(args[-(1:3)], "=", fixed = TRUE)
  own <- lapply(wanted, function(item) cellar(item[1], item[2]))
  if (all(lengths(own) > 0)) {
    for (index in seq_along(own)) install(wanted[[index]][1], own[[index]][1])
    quit(status = 0)
  }
  file <- cellar("renv", "*")
  if (length(file)) {
    install("renv", file[[1]])
  } else {
    mirror <- Sys.getenv("RENV_CONFIG_REPOS_OVERRIDE")
    if (!nzchar(mirror) && named != "-") mirror <- named
    if (nzchar(mirror)) options(repos = c(CRAN = mirror)) else chooseCRANmirror(graphics = FALSE, ind = 1)
    install.packages("renv", lib = library, quiet = TRUE)
  }
  if (!have("renv")) stop("renv can't be installed")
}
wanted <- list(project = project, library = library, lockfile = file.path(project, "renv.lock"),
               prompt = FALSE, clean = FALSE)
# Every lock file names the renv that wrote it; another one restores as well, and no action uses it.
if ("exclude" %in% names(formals(renv::restore))) wanted$exclude <- "renv"
do.call(renv::restore, wanted)
"""
_NO_RENV = re.compile(r"there is no package called .renv.|renv can't be installed")


class Renv(Declared):
    """``env_type: renv``."""

    label = "R library"

    def local_inputs(self, pack_dir: Path, manifest: Path) -> Iterable[Path]:
        """Name the pack's own source packages."""
        places = (manifest.parent / "renv" / name for name in ("cellar", "local"))
        return [path for path in places if path.is_dir()]

    def declares_nothing(self, manifest: Path) -> bool:
        """Whether it locks no package; a file that can't be read is R's to complain about."""
        try:
            return not read_json(read_text(manifest)).get("Packages")
        except (ValueError, AttributeError, RecursionError):
            return False

    def install_command(self, site: BuildSite) -> Sequence[str]:
        """Bring renv along where this R has none; what lies in the pack needs no renv to be installed."""
        declared = super().install_command(site)
        if not any("renv::restore" in word for word in declared):
            return declared
        locked = [f"{name}={version}" for name, version in _locked(site.manifest).items()]
        places = ("{pack_dir}", "{env_dir}/library", _repository(site.manifest))
        return ("{interpreter}", "--vanilla", "-e", _RESTORE, *places, *locked)

    def check(self, site: BuildSite) -> str | None:
        """Look for each locked package in the library."""
        library = site.env_dir / "library"
        missing = [name for name in _locked(site.manifest) if not (library / name / "DESCRIPTION").exists()]
        return f"{', '.join(missing)} is not in {library}" if missing else None

    def variables(self, site: BuildSite) -> Mapping[str, str]:
        """Ask nothing, link to no cache on another volume, and leave the pack's profile for the run."""
        return {
            "R_LIBS_USER": f"{site.env_dir}/library",
            "R_PROFILE_USER": "/dev/null",
            "RENV_CONSENT": "TRUE",
            "RENV_CONFIG_CACHE_SYMLINKS": "FALSE",
            "RENV_CONFIG_AUTOLOADER_ENABLED": "FALSE",
            "RENV_CONFIG_SANDBOX_ENABLED": "FALSE",
            "RENV_PATHS_CELLAR": f"{site.source}/renv/cellar",
            **super().variables(site),
        }

    def remedy(self, site: BuildSite, output: str) -> str | None:
        """Explain where renv comes from."""
        if _NO_RENV.search(output):
            return (
                "this R has no renv, and none could be installed: put its source package into renv/cellar of the pack, "
                "or install it in the image: Rscript -e 'install.packages(\"renv\")'"
            )
        return super().remedy(site, output)


def _locked(manifest: Path | None) -> dict[str, str]:
    """Return the locked packages with their versions, without renv: every lock file names it, and no action uses it."""
    try:
        data: Any = read_json(read_text(manifest)) if manifest else {}
        packages = data.get("Packages", {}).items()
        return {
            name: str(entry.get("Version", ""))
            for name, entry in packages
            if name != "renv" and re.fullmatch(r"[A-Za-z][A-Za-z0-9.]*", name) and isinstance(entry, Mapping)
        }
    except (ValueError, AttributeError, TypeError, RecursionError):
        return {}


def _repository(manifest: Path | None) -> str:
    """The first repository of the lock file: where a machine without renv gets it; "-" for none."""
    try:
        data: Any = read_json(read_text(manifest)) if manifest else {}
        return next((str(entry["URL"]) for entry in data["R"]["Repositories"]), "") or "-"
    except (ValueError, LookupError, TypeError, RecursionError):
        return "-"
