"""Secrets that a test plants, and a search for them in everything that a deployment writes or shows."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.request import urlopen

from psycopg import sql

from tests.services.deployment import Deployment
from tests.services.wire import Message

#: Enough of a secret to be worth something.
_TELLING = 12


class Planted:
    """Secrets by their names. Letters and digits only, so that quoting, JSON and URLs leave them as they are."""

    def __init__(self) -> None:
        """Plant nothing yet."""
        self._values: dict[str, str] = {}
        self._forms: dict[str, tuple[bytes, ...]] = {}

    def new(self, name: str) -> str:
        """Return a secret that nobody has seen before."""
        value = f"Planted{os.urandom(16).hex()}"
        self.add(name, value)
        return value

    def add(self, name: str, value: str) -> None:
        """Look for a secret that was made elsewhere, too."""
        self._values[name] = value
        self._forms[name] = tuple(_forms(value))

    def names_in(self, data: bytes) -> set[str]:
        """Return the names of those that ``data`` shows: as they are, as hexadecimal digits or as Base64."""
        return {name for name, forms in self._forms.items() if any(form in data for form in forms)}


def _forms(value: str) -> Iterator[bytes]:
    # Half of it is found, too: what a secret was cut into must not be left either.
    half = max(_TELLING, len(value) // 2)
    for part in (value[:half], value[-half:]):
        raw = part.encode()
        yield raw
        yield raw.hex().encode()
        for shift in range(3):
            whole = base64.b64encode(b"\0" * shift + raw)
            yield whole[4 if shift else 0 : -4]


Findings = dict[str, set[str]]


def in_places(planted: Planted, places: Mapping[str, bytes] | Iterator[tuple[str, bytes]]) -> Findings:
    """Return where which of them stand; empty is what a test hopes for."""
    pairs = places.items() if isinstance(places, Mapping) else places
    return {place: names for place, data in pairs if (names := planted.names_in(data))}


def rows(deployment: Deployment) -> Iterator[tuple[str, bytes]]:
    """Every row of every table as text, with what the server says of statements that run."""
    tables = deployment.all(
        "SELECT table_schema AS schema, table_name AS name FROM information_schema.tables"
        " WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')"
    )
    assert {"execution", "key", "execution_secret_value", "artifact_version"} <= {table["name"] for table in tables}
    for table in tables:
        name = sql.Identifier(table["schema"], table["name"])
        found = deployment.database.execute(sql.SQL("SELECT t::text FROM {} AS t").format(name)).fetchall()
        yield f"table {table['name']}", "\n".join(text for (text,) in found).encode()
    activity = deployment.database.execute("SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    yield "pg_stat_activity", "\n".join(text or "" for (text,) in activity).encode()


def messages(received: list[Message]) -> Iterator[tuple[str, bytes]]:
    """Every message that was published, by whomever."""
    for message in received:
        yield f"message in {message.queue}", message.body


def files(*directories: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below some directories, by name and content, core dumps among them."""
    for directory in directories:
        for folder, below, names in os.walk(directory):
            for name in (*below, *names):
                yield f"name of {folder}/{name}", os.fsencode(name)
            for path in (Path(folder, name) for name in names):
                if path.is_file() and not path.is_symlink():
                    yield str(path), path.read_bytes()


def of_process(pid: int) -> Iterator[tuple[str, bytes]]:
    """What /proc shows of a process to whoever may look: command line, environment, names of its threads."""
    folder = Path("/proc", str(pid))
    for name in ("cmdline", "environ", "comm", "status"):
        yield f"/proc/{name}", (folder / name).read_bytes()
    for thread in (folder / "task").iterdir():
        yield "/proc/task/comm", (thread / "comm").read_bytes()


def descendants(pid: int) -> list[int]:
    """Return the processes that a process has started, and those that they have."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has ended
    found, rest = [], [pid]
    while rest:
        children = [child for child, parent in parents.items() if parent == rest[-1]]
        rest.pop()
        found += children
        rest += children
    return found


def page(port: int) -> bytes:
    """What the metrics say."""
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text: bytes = answer.read()
    return text
