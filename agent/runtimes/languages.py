"""The languages that the agent knows by itself, and all it knows of each (pure): a new one is one entry here.

Packs describe further languages, and these in more detail, in the files of ``runtimes/``.
"""

from __future__ import annotations

from typing import NamedTuple


class Language(NamedTuple):
    """One language.

    ``name`` is the canonical one, ``aliases`` are all names that mean it. ``binaries`` are the programs that run
    it: the first usable one wins; ``substitutes`` are asked only where none of them is usable; ``versioned``
    matches the names of others (``python3.12``); ``homes`` are patterns of directories beside PATH; ``tools`` is
    what version managers call it. ``version_arguments`` make a program print its version, ``run_arguments`` stand
    between it and the file. ``precision`` is how many numbers of a version make a version of its own (``3.12``, but
    Node.js ``20``).
    """

    name: str
    aliases: tuple[str, ...]
    extension: str
    binaries: tuple[str, ...]
    version_arguments: tuple[str, ...] = ("--version",)
    substitutes: tuple[str, ...] = ()
    versioned: str = ""
    homes: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    run_arguments: tuple[str, ...] = ()
    precision: int = 2


#: The order is that of every report and of the advertised runtimes.
LANGUAGES = (
    Language("shell", ("shell", "bash", "sh"), ".sh", ("bash", "sh")),
    Language(
        "python",
        ("python", "python3"),
        ".py",
        ("python3", "python"),
        versioned=r"python3\.\d{1,2}t?",
        tools=("python",),
    ),
    Language(
        "node",
        ("node", "nodejs", "node.js"),
        ".js",
        ("node", "nodejs"),
        versioned=r"node(?:js)?-?\d{2}",
        tools=("node", "nodejs"),
        precision=1,
    ),
    Language(
        "ruby",
        ("ruby", "rb"),
        ".rb",
        ("ruby",),
        substitutes=("jruby", "truffleruby"),
        versioned=r"ruby-?\d\.?\d",
        tools=("ruby",),
    ),
    Language(
        "go",
        ("go", "golang"),
        ".go",
        ("go",),
        ("version",),
        versioned=r"go1\.\d{1,2}(?:\.\d{1,2})?",
        homes=("/usr/lib/go-*/bin",),
        tools=("go", "golang"),
        run_arguments=("run",),
    ),
    Language(
        "java",
        ("java", "jdk", "openjdk"),
        ".java",
        ("java",),
        ("-version",),
        homes=("/usr/lib/jvm/*/bin",),
        tools=("java",),
        precision=1,
    ),
    Language("r", ("r", "rscript"), ".R", ("Rscript",), tools=("R", "r"), run_arguments=("--vanilla",)),
    Language("perl", ("perl", "perl5"), ".pl", ("perl",), versioned=r"perl5\.\d{1,2}\.\d{1,2}", tools=("perl",)),
)
#: Names of what runs a file by itself: no language, and never detected.
NATIVE = ("native", "builtin", "standalone")
_BY_NAME = {language.name: language for language in LANGUAGES}


def language_named(name: str) -> Language | None:
    """Return the language with this canonical name, None for one that isn't known."""
    return _BY_NAME.get(name)
