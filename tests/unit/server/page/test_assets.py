"""Style sheet and scripts: named by what is in them, and small."""

from __future__ import annotations

import re
from pathlib import Path

from agent.server.page import assets
from agent.server.page.assets import Assets

STATIC = Path(assets.__file__).parent / "static"


def test_a_name_changes_with_the_content_and_one_script_names_the_other_as_it_is_sent(tmp_path: Path) -> None:
    for path in STATIC.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    before = Assets(STATIC)
    assert re.fullmatch(r"page\.[0-9a-f]{12}\.js", before.name_of("page.js"))
    assert f'"./{before.name_of("page.js")}"'.encode() in before.find(before.name_of("log.js")).content  # type: ignore[union-attr]
    (tmp_path / "page.js").write_text("// another")
    after = Assets(tmp_path)
    assert after.name_of("page.js") != before.name_of("page.js")
    assert after.name_of("log.js") != before.name_of("log.js"), "it names the other one"
    assert after.name_of("page.css") == before.name_of("page.css")
    assert after.find(before.name_of("page.js")) is None


def test_all_of_them_are_a_fifth_of_what_a_page_may_be() -> None:
    found = Assets(STATIC)
    sizes = {path.name: len(found.find(found.name_of(path.name)).compressed) for path in STATIC.iterdir()}  # type: ignore[union-attr]
    assert sum(sizes.values()) < 20_000, sizes


def test_nothing_comes_from_elsewhere_and_nothing_is_code_in_a_text() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in STATIC.iterdir() if path.suffix in (".css", ".js"))
    assert not re.search(r"https?://|@import|innerHTML\s*=(?!=)|\beval\(|insertAdjacentHTML|document\.write", text)
