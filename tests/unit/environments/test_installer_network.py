"""One section of settings reaches every installer in its own words."""

from __future__ import annotations

import shlex
from pathlib import Path
from xml.etree import ElementTree

from agent.environments.installer_network import maven_settings, network_variables
from agent.environments.pip_settings import pip_variables, uv_variables
from agent.settings import NetworkSettings


def test_an_index_reaches_each_installer_by_its_own_setting() -> None:
    known = network_variables(
        NetworkSettings(
            proxy="http://proxy:3128",
            no_proxy=".corp",
            ca_file=Path("/ca.pem"),
            python_index="https://i/p",
            npm_registry="https://i/n",
            gem_mirror="https://i/g",
            go_proxy="https://i/o",
            cpan_mirror="https://i/c",
            cran_mirror="https://i/r",
        )
    )
    assert known["PIP_INDEX_URL"] == known["UV_DEFAULT_INDEX"] == "https://i/p"
    assert (known["npm_config_registry"], known["BUNDLE_MIRROR__ALL"]) == ("https://i/n", "https://i/g")
    assert (known["GOPROXY"], known["RENV_CONFIG_REPOS_OVERRIDE"]) == ("https://i/o", "https://i/r")
    assert known["PERL_CPANM_OPT"] == "--mirror https://i/c --mirror-only"
    assert known["https_proxy"] == known["HTTP_PROXY"] == "http://proxy:3128" and known["NO_PROXY"] == ".corp"
    authorities = ("PIP_CERT", "npm_config_cafile", "BUNDLE_SSL_CA_CERT", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")
    assert {known[name] for name in authorities} == {"/ca.pem"}
    assert network_variables(NetworkSettings()) == {}


def test_a_mirror_stays_one_word_for_cpanm_whatever_its_name() -> None:
    option = network_variables(NetworkSettings(cpan_mirror="file:///a b --force"))["PERL_CPANM_OPT"]
    assert shlex.split(option) == ["--mirror", "file:///a b --force", "--mirror-only"]


def test_maven_gets_a_settings_file_because_it_reads_no_variable() -> None:
    assert maven_settings({"PATH": "/bin"}, None) is None
    text = maven_settings({"HTTPS_PROXY": "http://me:a%26b@proxy:3128", "NO_PROXY": "localhost,.corp"}, "https://m/<&>")
    assert text is not None
    tree = ElementTree.fromstring(text)
    assert tree.findtext("mirrors/mirror/url") == "https://m/<&>"
    assert tree.findtext("mirrors/mirror/mirrorOf") == "external:*"
    assert (tree.findtext("proxies/proxy/host"), tree.findtext("proxies/proxy/port")) == ("proxy", "3128")
    assert tree.findtext("proxies/proxy/nonProxyHosts") == "localhost|*.corp"
    assert maven_settings({"http_proxy": "http://[bad"}, None) is None


def test_of_pips_own_files_only_indexes_count(tmp_path: Path) -> None:
    folder = tmp_path / ".config/pip"
    folder.mkdir(parents=True)
    text = (
        "[global]\nindex-url = https://i/p\ntarget = /t\nfind-links =\n  /a\n  /b\n"
        "[install]\nuser = yes\nno-index = 1\n"
    )
    (folder / "pip.conf").write_text(text)
    image = {"HOME": str(tmp_path)}
    found = {name: value for name, value in pip_variables(image).items() if name != "PIP_CERT"}
    assert found == {"PIP_INDEX_URL": "https://i/p", "PIP_FIND_LINKS": "/a /b", "PIP_NO_INDEX": "1"}
    assert "PIP_INDEX_URL" not in pip_variables(image | {"PIP_INDEX_URL": "https://mine"})
    assert uv_variables(image)["UV_DEFAULT_INDEX"] == "https://i/p"
    assert uv_variables(image | {"PIP_INDEX_URL": "https://mine"})["UV_DEFAULT_INDEX"] == "https://mine"
    assert pip_variables(image | {"PIP_CONFIG_FILE": "/dev/null"}) == {}
    (folder / "pip.conf").write_bytes(b"\xff\xfe[[[")
    assert "PIP_INDEX_URL" not in pip_variables(image)
