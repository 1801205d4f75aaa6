"""Variables of the image that point an installer or an interpreter elsewhere: one table, by kind of environment (pure).

An image that was made for another program says ``PIP_TARGET=/app`` or ``BUNDLE_PATH=/usr/local/bundle``: then an
installation ends with success and lies somewhere else. What names an index, a proxy, a mirror or an authority is kept.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ImageVariables:
    """Names that are dropped, any of which may end in ``*``: while building, and while building and running.

    ``keep`` are exceptions of both. Case is ignored, as npm does.
    """

    build: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()


#: Name another interpreter than the one that runs, whatever the kind.
OTHER_INTERPRETER = ("PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")

_PIP_KEEP = (
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_TRUSTED_HOST", "PIP_CERT"),
    *("PIP_CLIENT_CERT", "PIP_PROXY", "PIP_CACHE_DIR", "PIP_NO_CACHE_DIR", "PIP_TIMEOUT", "PIP_DEFAULT_TIMEOUT"),
    *("PIP_RETRIES", "PIP_CONSTRAINT", "PIP_ONLY_BINARY", "PIP_NO_BINARY", "PIP_PREFER_BINARY", "PIP_KEYRING_PROVIDER"),
)
_UV_KEEP = (
    *("UV_INDEX*", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_INSECURE_HOST", "UV_NATIVE_TLS"),
    *("UV_CACHE_DIR", "UV_HTTP_TIMEOUT", "UV_OFFLINE", "UV_CONSTRAINT", "UV_LINK_MODE", "UV_KEYRING_PROVIDER"),
)
_NPM_KEEP = (
    *("registry", "proxy", "https_proxy", "http_proxy", "noproxy", "cafile", "ca", "cert", "key", "strict_ssl"),
    *("cache", "userconfig", "globalconfig", "_auth", "_authtoken", "always_auth", "email", "fetch_*", "maxsockets"),
    *("//*", "@*"),
)
_BUNDLE_DROP = (
    *("PATH*", "DEPLOYMENT", "FROZEN", "GEMFILE", "WITH", "WITHOUT", "ONLY", "BIN", "BIN_PATH", "APP_CONFIG", "CLEAN"),
    *("SHEBANG", "CACHE_PATH", "CACHE_ALL*", "NO_INSTALL", "DISABLE_SHARED_GEMS", "SYSTEM_BINDIR", "LOCKFILE"),
    *("GLOBAL_GEM_CACHE", "LOCAL__*", "SPECIFIC_PLATFORM", "FORCE_RUBY_PLATFORM", "NO_PRUNE", "USER_HOME"),
)

KINDS: Mapping[str, ImageVariables] = {
    "virtualenv": ImageVariables(
        build=("PIP_*", "UV_*", "PYTHONUSERBASE", "PYTHONNOUSERSITE", "CONDA_PREFIX", "DISTUTILS_*"),
        run=("PYTHONPATH", *OTHER_INTERPRETER),
        keep=(*_PIP_KEEP, *_UV_KEEP),
    ),
    "node_modules": ImageVariables(
        build=("NODE_ENV", "npm_config_*"), run=("NODE_PATH",), keep=tuple(f"npm_config_{name}" for name in _NPM_KEEP)
    ),
    "gem_home": ImageVariables(
        run=(
            *("GEM_HOME", "GEM_PATH", "GEM_SPEC_CACHE", "RUBYOPT", "RUBYLIB", "BUNDLER_*"),
            *(f"BUNDLE_{name}" for name in _BUNDLE_DROP),
        ),
    ),
    "gopath": ImageVariables(
        run=(
            *("GOFLAGS", "GOTOOLCHAIN", "GO111MODULE", "GOPATH", "GOMODCACHE", "GOCACHE", "GOBIN", "GOWORK", "GOENV"),
            *("GOROOT", "GOOS", "GOARCH"),
        ),
    ),
    "maven": ImageVariables(build=("MAVEN_ARGS", "MAVEN_CONFIG", "MAVEN_CMD_LINE_ARGS"), run=("CLASSPATH",)),
    "local_lib": ImageVariables(
        build=("PERL_MM_OPT", "PERL_MB_OPT", "PERL_CPANM_OPT", "PERL5OPT", "PERL_AUTOINSTALL*"),
        run=("PERL5LIB", "PERLLIB", "PERL_LOCAL_LIB_ROOT"),
    ),
    "renv": ImageVariables(
        build=("R_PROFILE*", "R_ENVIRON*", "RENV_*", "R_DEFAULT_PACKAGES"),
        run=("R_LIBS", "R_LIBS_USER", "R_LIBS_SITE"),
        keep=("RENV_CONFIG_REPOS_OVERRIDE", "RENV_DOWNLOAD_*"),
    ),
}


def dropped(names: Iterable[str], patterns: Iterable[str], keep: Iterable[str] = ()) -> frozenset[str]:
    """Return those of ``names`` that a pattern means and no exception keeps."""
    wanted, kept = [text.lower() for text in patterns], [text.lower() for text in keep]
    return frozenset(name for name in names if _any(name.lower(), wanted) and not _any(name.lower(), kept))


def of_kind(kind: str) -> ImageVariables:
    """Return the entry of an ``env_type``; a kind without one of its own hides nothing but what its YAML says."""
    return KINDS.get(kind, ImageVariables())


def _any(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
