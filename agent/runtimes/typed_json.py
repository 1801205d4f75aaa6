"""Typed access to one JSON or YAML object: a wrong type is a complaint that names the dotted key (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

_Choice = TypeVar("_Choice", bound=str)


class Section:
    """One JSON object with typed access; complaints carry the dotted key."""

    def __init__(self, data: Any, where: str = "", title: str = "the document") -> None:
        """Look at ``data``; ``where`` is its dotted key and ``title`` its name at the top, where there is none.

        Raises:
            ValueError: it isn't an object (null counts as an empty one).
        """
        if data is not None and not isinstance(data, Mapping):
            raise ValueError(f"{where or title} must be an object, not {kind(data)}")
        self._data: Mapping[str, Any] = data or {}
        self._where = where

    def has(self, key: str) -> bool:
        """Whether the key is there and not null."""
        return self._data.get(key) is not None

    def names(self) -> list[str]:
        """The keys, in the order of the document."""
        return [str(key) for key in self._data]

    def as_dict(self) -> dict[Any, Any]:
        """The object as it is."""
        return dict(self._data)

    def raw(self, key: str) -> Any:
        """The value as it is, None when missing."""
        return self._data.get(key)

    def name(self, key: str) -> str:
        """The dotted name of ``key`` for complaints."""
        return f"{self._where}.{key}" if self._where else key

    def section(self, key: str) -> Section:
        """The object below ``key``, empty when missing."""
        return Section(self._data.get(key), self.name(key))

    def optional_text(self, key: str) -> str | None:
        """The string below ``key``, None when missing."""
        value = self._data.get(key)
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{self.name(key)} must be a string, not {kind(value)}")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """The string below ``key``; without a default it must be there."""
        value = self.optional_text(key)
        if value is None:
            value = default
        if value is None:
            raise ValueError(f"{self.name(key)} is missing")
        return value

    def nonblank(self, key: str) -> str:
        """The string below ``key`` without white space around it; it must be there and say something."""
        value = self.text(key).strip()
        if not value:
            raise ValueError(f"{self.name(key)} is empty")
        return value

    def items(self, key: str) -> list[Any] | None:
        """The list below ``key``, None when missing."""
        value = self._data.get(key)
        if value is None or isinstance(value, list):
            return value
        raise ValueError(f"{self.name(key)} must be a list, not {kind(value)}")

    def texts(self, key: str) -> tuple[str, ...]:
        """The list of strings below ``key``, empty when missing."""
        value = self._data.get(key)
        if value is None:
            return ()
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise ValueError(f"{self.name(key)} must be a list of strings")
        return tuple(value)

    def flag(self, key: str) -> bool:
        """The boolean below ``key``, false when missing."""
        value = self._data.get(key)
        if value is not None and not isinstance(value, bool):
            raise ValueError(f"{self.name(key)} must be true or false, not {kind(value)}")
        return bool(value)

    def number(self, key: str, default: int) -> int:
        """The whole number below ``key``."""
        value = self._data.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            # One kind of error for every malformed document, whatever is wrong with it.
            raise ValueError(f"{self.name(key)} must be a whole number, not {kind(value)}")  # noqa: TRY004
        return value

    def choice(self, key: str, allowed: tuple[_Choice, ...]) -> _Choice:
        """One of ``allowed``, whose first is the default."""
        value = self.text(key, allowed[0])
        if value not in allowed:
            raise ValueError(f"{self.name(key)} must be one of {', '.join(allowed)}, not {value!r}")
        return value


def kind(value: Any) -> str:
    """JSON's word for the type of ``value``."""
    for types, word in ((bool, "a boolean"), (str, "a string"), ((int, float), "a number")):
        if isinstance(value, types):
            return word
    return "a list" if isinstance(value, list | tuple) else "an object"
