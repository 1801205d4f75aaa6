"""Which variables of an image don't count for which kind of environment."""

from __future__ import annotations

import pytest

from agent.environments.image_variables import KINDS, dropped


@pytest.mark.parametrize(
    ("kind", "gone", "kept"),
    [
        (
            "virtualenv",
            "PIP_TARGET PIP_PREFIX PIP_USER PYTHONPATH PYTHONHOME VIRTUAL_ENV UV_PYTHON",
            "PIP_INDEX_URL PATH",
        ),
        ("virtualenv", "PIP_REQUIRE_VIRTUALENV", "PIP_TRUSTED_HOST PIP_CERT UV_INDEX_CORP_PASSWORD HTTPS_PROXY"),
        ("node_modules", "NODE_ENV NODE_PATH npm_config_prefix NPM_CONFIG_OMIT", "npm_config_registry NODE_OPTIONS"),
        ("node_modules", "npm_config_global", "npm_config_@corp:registry npm_config_//npm.corp/:_authToken"),
        (
            "gem_home",
            "GEM_HOME GEM_PATH RUBYOPT BUNDLE_PATH BUNDLE_PATH__SYSTEM BUNDLE_FROZEN",
            "BUNDLE_GEMS__CORP__COM",
        ),
        (
            "gem_home",
            "BUNDLE_DEPLOYMENT BUNDLE_GEMFILE BUNDLE_WITHOUT RUBYLIB",
            "BUNDLE_MIRROR__ALL BUNDLE_SSL_CA_CERT",
        ),
        ("gopath", "GOFLAGS GOTOOLCHAIN GO111MODULE GOPATH GOENV", "GOPROXY GOPRIVATE GONOSUMDB CGO_ENABLED"),
        ("local_lib", "PERL5LIB PERL_MM_OPT PERL_MB_OPT PERL_CPANM_OPT", "PERL_LWP_SSL_CA_FILE"),
        ("renv", "R_LIBS R_LIBS_USER R_LIBS_SITE R_PROFILE_USER RENV_PROJECT", "RENV_CONFIG_REPOS_OVERRIDE R_HOME"),
        ("maven", "CLASSPATH MAVEN_ARGS", "MAVEN_OPTS JAVA_TOOL_OPTIONS JAVA_HOME"),
    ],
)
def test_what_points_elsewhere_is_dropped_and_what_names_an_index_is_kept(kind: str, gone: str, kept: str) -> None:
    entry = KINDS[kind]
    names = [*gone.split(), *kept.split()]
    assert dropped(names, (*entry.build, *entry.run), entry.keep) == frozenset(gone.split())


@pytest.mark.parametrize(
    ("kind", "both", "build_only"),
    [
        ("virtualenv", {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}, {"PIP_TARGET"}),
        ("node_modules", {"NODE_PATH"}, {"NODE_ENV", "npm_config_omit"}),
        ("local_lib", {"PERL5LIB"}, {"PERL_MM_OPT"}),
        ("renv", {"R_LIBS_USER"}, {"R_PROFILE_USER"}),
        ("maven", {"CLASSPATH"}, {"MAVEN_ARGS"}),
    ],
)
def test_an_action_keeps_what_only_disturbs_its_installer(kind: str, both: set[str], build_only: set[str]) -> None:
    assert dropped({*both, *build_only, "PATH"}, KINDS[kind].run) == both
