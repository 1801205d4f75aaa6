"""What a Java file and a Java's directory say to who compiles for it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from agent.errors import EnvironmentFailed
from agent.reading.regular_files import read_regular

_LARGEST_SOURCE = 16 * 1024 * 1024
#: The file ``release`` of a Java's home is a few lines long.
_LARGEST_RELEASE = 64 * 1024
_RELEASE = re.compile(r'^JAVA_VERSION="(?:1\.)?(\d{1,3})\b', re.MULTILINE)


def java_main_class(path: str) -> str:
    """Return the name of the class that ``java FILE`` would start: the first of its file.

    Raises:
        EnvironmentFailed: it has none.
        OSError: it can't be read.
    """
    text = read_regular(path, _LARGEST_SOURCE).decode("utf-8", "replace")
    # What isn't closed ends with its line or the file: a search for its end from each place would take for ever.
    plain = re.sub(r'"(?:\\.|[^"\\\n])*"?|//[^\n]*|/\*.*?(?:\*/|\Z)', " ", text, flags=re.DOTALL)
    package = re.search(r"^[ \t]*package[ \t]+([\w.]+)[ \t]*;", plain, re.MULTILINE)
    name = re.search(r"\b(?:class|record|enum|interface)\s+([A-Za-z_$][\w$]*)", plain)
    if name is None:
        raise EnvironmentFailed(f"{path} names no class", step="compile")
    return f"{package[1]}.{name[1]}" if package else name[1]


def other_compiler_options(java: str) -> dict[str, str]:
    """Return the variables that make a compiler of another Java write what this one can run.

    A Java without compiler, such as a JRE, is served by the one on PATH; a newer one would write classes that are too
    new. The Java that brings its own needs none.
    """
    home = Path(os.path.realpath(java)).parent.parent
    if (home / "bin" / "javac").exists():
        return {}
    try:
        stated = _RELEASE.search(read_regular(home / "release", _LARGEST_RELEASE).decode("utf-8", "replace"))
    except (OSError, ValueError):
        return {}
    return {} if stated is None else {"JDK_JAVAC_OPTIONS": f"--release {stated[1]}"}
