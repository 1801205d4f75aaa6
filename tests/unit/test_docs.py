"""The texts name files, commands and settings that exist, and forget none."""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from agent.cli import operator
from agent.cli.commands import COMMANDS
from agent.cli.main import AGENT_HELP, WORKER_HELP
from agent.configuration.settings_table import fields
from tests.unit.source_trees import AGENT, thread_names, trees

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
COMMANDS_PAGE = DOCS / "reference" / "commands.md"
ARCHITECTURE_PAGE = DOCS / "architecture.md"
THREADS_PAGE = DOCS / "explanation" / "threads.md"
SECURITY_PAGE = DOCS / "explanation" / "security.md"
FAULTS_PAGE = DOCS / "explanation" / "faults.md"
PROMISES_PAGE = DOCS / "explanation" / "promises.md"

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
# "(promise: one name)", also where a comment goes on in the next line; or a line "Promises: one name; another."
_CITATION = re.compile(r"\(promises?: ([^)]+)\)|^ *Promises?: ([^.]+)\.$", re.MULTILINE)


def pages() -> list[Path]:
    """Every text that we wrote; not what lies in directories that tools make."""
    own = ("docs", "build", "deploy", "docker", "packs", "tests")
    return sorted([*ROOT.glob("*.md"), *(page for folder in own for page in (ROOT / folder).rglob("*.md"))])


def prose(page: Path) -> str:
    """A page without its code."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The names under which a page's headings can be linked to."""
    found = set()
    for heading in _HEADING.findall(prose(page)):
        plain = re.sub(r"[^\w\- ]", "", heading.strip().lower())
        found.add(plain.replace(" ", "-"))
    return found


def links(page: Path) -> Iterator[str]:
    """The relative links of a page."""
    return (target for target in _LINK.findall(prose(page)) if "://" not in target)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        found = (page.parent / path) if path else page
        assert found.exists(), f"{target} does not exist"
        if anchor:
            assert anchor in anchors(found), f"{target}: no such heading"


def test_every_page_can_be_reached_from_the_list_of_pages() -> None:
    listed = {(DOCS / link.partition("#")[0]).resolve() for link in links(DOCS / "README.md")}
    assert listed >= set(DOCS.rglob("*.md")) - {DOCS / "README.md"}


def test_the_first_screen_names_the_two_commands() -> None:
    screen = "\n".join((ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:40])
    assert "make demo" in screen
    assert "make test" in screen


def test_every_target_that_a_text_names_exists() -> None:
    makefiles = (ROOT / "Makefile").read_text(encoding="utf-8") + (ROOT / "build/build.mk").read_text(encoding="utf-8")
    for page in pages():
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE):
            # `docker-build-…` stands for several
            assert target.endswith("-") or re.search(rf"^{target}:", makefiles, re.MULTILINE), f"{page.name}: {target}"


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda page: page.name)
def test_every_piece_of_yaml_can_be_read(page: Path) -> None:
    for indent, language, text in _FENCE.findall(page.read_text(encoding="utf-8")):
        if language in ("yaml", "json"):
            yaml.safe_load("\n".join(line.removeprefix(indent) for line in text.splitlines()))


def chart_values() -> dict[str, dict[str, object]]:
    """The values of the chart, whose names stand in texts as settings do."""
    values: dict[str, dict[str, object]] = yaml.safe_load((ROOT / "deploy/helm/attune-agent/values.yaml").read_text())
    return values


def test_every_setting_that_a_text_names_exists() -> None:
    known = fields()
    sections = {key.partition(".")[0] for key in known if "." in key}
    variables = {field.variable for field in known.values()}
    of_the_chart = {f"{part}.{key}" for part in ("packs", "server") for key in chart_values()[part]}
    for page in (ROOT / "README.md", *DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        for key in re.findall(r"`((?:[a-z_]+\.)+[a-z_]+)`", text):
            if ".".join(key.split(".")[:2]) in of_the_chart and page.name in ("helm-values.md", "run-on-kubernetes.md"):
                continue
            if key.partition(".")[0] in sections and not key.startswith("artifacts/") and not key.endswith(".py"):
                assert key in known or key.startswith("worker.capabilities"), f"{page.name}: {key}"
        for variable in re.findall(r"\bATTUNE__[A-Z_]*[A-Z]\b", text):
            whole = variable in variables or any(variable.startswith(f"{prefix}__") for prefix in variables)
            assert whole, f"{page.name}: {variable}"


def test_every_operators_command_is_described() -> None:
    page = COMMANDS_PAGE.read_text(encoding="utf-8")
    for name, command in _commands(operator.attune):
        parts = name.split()
        assert f"### attune {parts[0]}" in page, name
        if len(parts) == 2:
            assert re.search(rf"(?:### attune {name}\b|`{parts[1]}\b)", page), name
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert any(flag in page for flag in option.opts), f"{name}: {option.opts}"


def _commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def test_every_word_and_option_of_the_agent_is_described() -> None:
    page = COMMANDS_PAGE.read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f"### attune-agent {name}" in page
    for option in re.findall(r"--[a-z-]+", AGENT_HELP + WORKER_HELP):
        assert option in page, option


def promises() -> dict[str, str]:
    """Each promise by its name in lower case, with its text."""
    parts = re.split(r"^### (.+)$", PROMISES_PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {name.lower(): text for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def cited(text: str) -> set[str]:
    """The names of promises that a file cites."""
    found = ";".join("".join(groups) for groups in _CITATION.findall(text))
    flat = re.sub(r"\s*\n\s*(?:#:?|--)?\s*", " ", found)
    return {name.strip() for name in flat.split(";") if name}


def test_citations_are_found_in_comments_and_docstrings() -> None:
    docstring = "Doc.\n\n    Promises: one thing; another thing.\n"
    comment = "    #: A constant (promise: a third\n    #: thing). More.\n"
    sql = "-- In SQL (promise: a fourth\n-- thing).\n"
    assert cited(docstring + comment + sql) == {"one thing", "another thing", "a third thing", "a fourth thing"}


def test_every_promise_that_a_file_cites_exists() -> None:
    known = promises()
    files = [file for folder in ("agent", "build", "docs", "tests") for file in (ROOT / folder).rglob("*")]
    for file in files:
        if file.suffix in (".py", ".sql", ".md", ".c", ".h") and file not in (Path(__file__), PROMISES_PAGE):
            unknown = cited(file.read_text(encoding="utf-8")) - set(known)
            assert not unknown, f"{file.relative_to(ROOT)} cites {sorted(unknown)}, which promises.md doesn't have"


def named_tests(page: Path, text: str) -> list[str]:
    """The tests that a piece of a page names; each must exist where the link leads."""
    tests = re.findall(r"\[(test_\w+)\]\(([^)]+)\)", text)
    for test, path in tests:
        file = (page.parent / path).resolve()
        assert re.search(rf"^\s*def {test}\(", file.read_text(encoding="utf-8"), re.MULTILINE), f"{path} has no {test}"
    return [test for test, _ in tests]


@pytest.mark.parametrize(("name", "text"), promises().items(), ids=list(promises()))
def test_every_promise_has_a_reason_and_tests_that_exist(name: str, text: str) -> None:
    assert "\nWhy: " in text, f"{name} gives no reason"
    assert named_tests(PROMISES_PAGE, text), f"{name} names no test"


def proofs(page: Path) -> list[tuple[str, str]]:
    """Each row, with its last cell, of a page's tables that say what proves it."""
    found, proving = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("|") else []
        if cells and cells[-1] == "proven by":
            proving = True
        elif not cells:
            proving = False
        elif proving and not line.startswith("|---"):
            found.append((line, cells[-1]))
    return found


def test_what_is_said_about_security_names_the_tests_that_prove_it() -> None:
    rows = proofs(SECURITY_PAGE)
    assert len(rows) >= 40
    for row, cell in rows:
        # What nothing is done about needs no proof, and says so.
        assert cell == "—" or named_tests(SECURITY_PAGE, cell), f"no test proves: {row}"
    assert sum(cell == "—" for _, cell in rows) <= 3


def test_what_is_said_about_single_faults_names_the_tests_that_prove_it() -> None:
    rows = proofs(FAULTS_PAGE)
    assert len(rows) >= 20
    for row, cell in rows:
        assert named_tests(FAULTS_PAGE, cell), f"no test proves: {row}"


def test_the_page_about_security_sends_nobody_to_a_whole_file_of_tests() -> None:
    text = SECURITY_PAGE.read_text(encoding="utf-8")
    assert re.findall(r"\[(?!test_\w+\])[^\]]*\]\([^)]*tests/[^)]*\)", text) == []


def test_no_code_of_another_document_stands_in_for_a_promise() -> None:
    for folder in ("agent", "build", "docs", "tests"):
        for file in (ROOT / folder).rglob("*"):
            if file.suffix in (".py", ".sql", ".md") and file != Path(__file__):
                text = file.read_text(encoding="utf-8")
                found = re.search(r"\((?:decision )?[EKR]\d\d?[a-z]?\b|specification, \d", text)
                assert not found, f"{file.relative_to(ROOT)}: {found.group(0) if found else ''}"


def test_the_drawing_of_the_layers_is_what_the_linter_checks() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(contract["layers"] for contract in contracts if contract.get("containers") == ["agent"])
    drawing = _FENCE.findall(ARCHITECTURE_PAGE.read_text(encoding="utf-8"))[0][2]
    rows = [line.strip().partition("   ")[0] for line in drawing.splitlines() if line.strip(" │")]
    assert [re.findall(r"\w+", row) for row in rows] == [re.findall(r"\w+", layer) for layer in layers]


def test_the_architecture_names_every_folder() -> None:
    text = ARCHITECTURE_PAGE.read_text(encoding="utf-8")
    folders = {str(Path(file).parent) for file in trees()} - {"."}
    assert [folder for folder in sorted(folders) if f"`agent/{folder}`" not in text] == []
    named = re.findall(r"`agent/([\w/]+)`", text)
    assert [name for name in named if not (AGENT / name).is_dir()] == []


def test_every_file_that_the_architecture_names_exists() -> None:
    names = [Path(file).name for file in trees()] + [Path(file).name for file in AGENT.rglob("*.sql")]
    for name in re.findall(r"`([\w/]+\.(?:py|sql))`", ARCHITECTURE_PAGE.read_text(encoding="utf-8")):
        assert Path(name).name in names, name


def described_threads() -> set[str]:
    """The names in the first column of the table of threads; ``*`` stands for ``<…>``."""
    rows = re.findall(r"^\| (`.+?) \|", THREADS_PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"<[^>]*>", "*", name) for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_every_thread_is_described_and_every_described_thread_exists() -> None:
    started, described = thread_names() | {"MainThread"}, described_threads()
    assert [name for name in started if not fnmatch.filter(described, name)] == []
    assert [name for name in described if not any(fnmatch.fnmatch(name, pattern) for pattern in started)] == []


def test_the_files_that_contributors_are_sent_to_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| .+ \| `agent/.+ \| .+ \|$", text, re.MULTILINE)
    assert len(rows) >= 12
    for path in re.findall(r"`((?:agent|packs|tests|scripts|docs)/[\w./]+)`", text):
        assert (ROOT / path).exists(), f"CONTRIBUTING.md sends people to {path}"


def test_a_word_of_the_glossary_has_one_meaning() -> None:
    text = (DOCS / "reference" / "glossary.md").read_text(encoding="utf-8")
    words = [word for row in re.findall(r"^\| ([a-z][a-z ,-]+) \|", text, re.MULTILINE) for word in row.split(", ")]
    assert len(words) > 40
    assert sorted(set(words) - {"word"}) == sorted(word for word in words if word != "word")
