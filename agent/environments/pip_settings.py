"""What the image's pip.conf says about indexes, as variables: the rest of it would install elsewhere.

pip can't be told to read only a part of its files, so it is told to read none, and what counts is said by variables.
Source: pip's documentation, "Configuration".
"""

from __future__ import annotations

import configparser
from collections.abc import Iterator, Mapping
from pathlib import Path

from agent.reading.regular_files import read_regular

#: The keys that count, in the files' words.
_KEPT = (
    *("index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "cert", "client-cert", "proxy"),
    *("timeout", "retries", "constraint", "only-binary", "no-binary", "prefer-binary", "keyring-provider"),
)
_MOST_BYTES = 65536
#: The same in uv's words.
_FOR_UV = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
    "PIP_CERT": "SSL_CERT_FILE",
    "PIP_TRUSTED_HOST": "UV_INSECURE_HOST",
    "PIP_CONSTRAINT": "UV_CONSTRAINT",
}


def pip_variables(container: Mapping[str, str]) -> dict[str, str]:
    """Return ``PIP_*`` variables for what pip's own files of the image say, where no variable says it already."""
    found: dict[str, str] = {}
    for file in _files(container):
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read_string(read_regular(file, _MOST_BYTES).decode("utf-8", "replace"))
        except (OSError, configparser.Error):
            continue
        for section in ("global", "install"):
            for key in _KEPT if parser.has_section(section) else ():
                if parser.has_option(section, key):
                    found[f"PIP_{key.upper().replace('-', '_')}"] = " ".join(parser.get(section, key).split())
    return {name: value for name, value in found.items() if value and name not in container}


def uv_variables(container: Mapping[str, str]) -> dict[str, str]:
    """Return what the image says to pip about indexes in uv's words, where it says nothing to uv itself."""
    said = {**pip_variables(container), **{name: value for name, value in container.items() if name in _FOR_UV}}
    return {_FOR_UV[name]: said[name] for name in _FOR_UV if name in said and _FOR_UV[name] not in container}


def _files(container: Mapping[str, str]) -> Iterator[Path]:
    """pip's files, each of which outranks those before it."""
    named = container.get("PIP_CONFIG_FILE")
    if named == "/dev/null":
        return
    for folder in reversed((container.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")):
        if folder.startswith("/"):
            yield Path(folder, "pip", "pip.conf")
    yield Path("/etc/pip.conf")
    home = container.get("HOME")
    if home:
        yield Path(home, ".pip", "pip.conf")
        yield Path(container.get("XDG_CONFIG_HOME") or Path(home, ".config"), "pip", "pip.conf")
    if named:
        yield Path(named)
