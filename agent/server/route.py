"""One route of the API: what it takes, who may use it, what it answers. The table of them is ``routes.py``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.server.call import Answer, Call, Later

PUBLIC: frozenset[str] = frozenset()
"""No token is needed."""

ACCESS = frozenset(("access",))
"""Somebody who logged in."""

ACTING = frozenset(("access", "execution"))
"""Somebody who logged in, or an action while it runs, with the permission sets that it was given."""

OWNING = ACTING | {"sensor"}
"""Whoever may own keys and artifacts: these, and a sensor, for its own."""

ANY = frozenset(("access", "execution", "worker", "sensor"))
"""Whoever shows a token."""

_PARAMETER = re.compile(r"{(\w+)(:\w+)?}")


@dataclass(frozen=True)
class Route:
    """A method on a path.

    ``who`` are the kinds of tokens that are let in; ``needs`` is the permission that is asked for before the handler,
    on some object at least where handlers that know the object ask again, else on any object. ``body`` and ``query``
    are types whose fields are checked; ``answer`` is the type of what the envelope holds, for the description of the
    API only. ``upload`` names the field of a form that holds its file, ``form`` the others. With ``raw_limit`` the body
    is handed over as bytes: it is asked before a byte is read how many there may be; with ``content`` the handler gets
    a file with them. Without ``audited`` only denials leave an event. ``streamed``: it answers with server-sent events.
    """

    method: str
    path: str
    handler: Callable[[Call], Answer | Later]
    summary: str
    who: frozenset[str] = ACTING
    needs: tuple[str, str] | None = None
    body: type | None = None
    body_optional: bool = False
    query: type | None = None
    upload: str = ""
    form: tuple[str, ...] = ()
    raw_limit: Callable[[Call], int] | None = None
    streamed: bool = False
    content: bool = False
    answer: Any = None
    listed: bool = False
    bare: bool = False
    status: int = 200
    errors: tuple[int, ...] = ()
    tag: str = ""
    audited: bool = True
    parameters: Mapping[str, type] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The names of the parameters in its path."""
        return [found[0] for found in _PARAMETER.findall(self.path)]

    def kind(self, name: str) -> type:
        """The type of a parameter of its path: a whole number where it is called so, else text."""
        return self.parameters.get(name, int if name == "id" or name.endswith("_id") else str)
