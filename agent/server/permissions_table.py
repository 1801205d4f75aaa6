"""The table of who may what for the documents, made of the table of routes."""

from __future__ import annotations

from collections.abc import Sequence

from agent.server.route import Route

BEGIN, END = "<!-- who may what -->", "<!-- end -->"


def table(routes: Sequence[Route]) -> str:
    """Return it as Markdown."""
    lines = ["| route | does | tokens | permission |", "|---|---|---|---|"]
    for route in sorted(routes, key=lambda one: (one.path, one.method)):
        tokens = ", ".join(sorted(route.who)) or "none needed"
        permission = ":".join(route.needs) if route.needs else ""
        lines.append(f"| `{route.method} {route.path}` | {route.summary} | {tokens} | {permission} |")
    return "\n".join(lines)


def inserted(page: str, routes: Sequence[Route]) -> str:
    """Return a page with the table between its two marks."""
    head, _, rest = page.partition(BEGIN)
    return f"{head}{BEGIN}\n{table(routes)}\n{END}{rest.partition(END)[2]}"


def main() -> None:
    """Write the pages that are made of the routes; run from the source tree."""
    from pathlib import Path

    from agent.server.openapi import text
    from agent.server.routes import ROUTES

    reference = Path("docs/reference")
    (reference / "openapi.json").write_text(text(ROUTES), encoding="utf-8")
    page = reference / "http-api.md"
    page.write_text(inserted(page.read_text(encoding="utf-8"), ROUTES), encoding="utf-8")


if __name__ == "__main__":
    main()
