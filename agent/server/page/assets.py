"""Style sheet, scripts and pictures: read once, under names that change with their content, cached for ever."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class Asset:
    """One file as it is sent."""

    name: str
    content: bytes
    compressed: bytes
    media_type: str


class Assets:
    """The files of one directory."""

    def __init__(self, directory: Path) -> None:
        """Nothing is read yet."""
        self._directory = directory

    @cached_property
    def _by_source(self) -> dict[str, Asset]:
        found: dict[str, Asset] = {}
        # Those that others import come first: what imports them names them as they are sent.
        for path in sorted(self._directory.iterdir(), key=lambda path: (path.name != "page.js", path.name)):
            if path.suffix in _TYPES:
                content = path.read_bytes()
                if path.suffix == ".js" and "page.js" in found:
                    content = content.replace(b'"./page.js"', f'"./{found["page.js"].name}"'.encode())
                name = f"{path.stem}.{hashlib.sha256(content).hexdigest()[:12]}{path.suffix}"
                found[path.name] = Asset(name, content, gzip.compress(content, 9, mtime=0), _TYPES[path.suffix])
        return found

    @cached_property
    def _by_name(self) -> dict[str, Asset]:
        return {asset.name: asset for asset in self._by_source.values()}

    def name_of(self, source: str) -> str:
        """Return the name under which a file is sent."""
        return self._by_source[source].name

    def find(self, name: str) -> Asset | None:
        """Return what is sent under a name."""
        return self._by_name.get(name)
