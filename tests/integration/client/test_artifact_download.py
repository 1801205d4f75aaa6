"""The bytes of an artifact from servers that break off, change their mind, take no parts or lie."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.cli.saved_file import Saved, save
from agent.client.api_artifacts import ApiArtifacts
from agent.client.transport import Transport
from agent.errors import AgentError, Conflict, NotFound
from tests.services.scripted_server import Answer, Handler, Script, breaks_off, digest, says
from tests.services.web import serving

BODY = bytes(range(256)) * 400
NAMED = {"X_Checksum_Sha256": digest(BODY)}
Download = Callable[..., tuple[Saved, Script]]


@pytest.fixture
def download(tmp_path: Path) -> Iterator[Download]:
    """Save version 1 of artifact 7 from a server that follows a script."""
    with contextlib.ExitStack() as stack:

        def run(*answers: Answer) -> tuple[Saved, Script]:
            script = Script(*answers)
            port = stack.enter_context(serving(script))
            content = ApiArtifacts(Transport(f"http://127.0.0.1:{port}")).content(7, 1)
            return save(content, tmp_path / "file", replace=False), script

        yield run


def part(body: bytes = BODY, named: str = digest(BODY)) -> Answer:
    def answer(handler: Handler) -> None:
        begin = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        assert handler.headers["If-Range"] == f'"{digest(BODY)}"'
        says(206, body[begin:], X_Checksum_Sha256=named)(handler)

    return answer


def test_a_connection_that_breaks_is_made_again_for_the_rest(download: Download, tmp_path: Path) -> None:
    saved, script = download(says(200, BODY, **NAMED), breaks_off(BODY, 70_000, **NAMED), says(503), part())
    assert (tmp_path / "file").read_bytes() == BODY
    assert (saved.size, saved.sha256, saved.fresh) == (len(BODY), digest(BODY), True)
    assert [method for method, *_ in script.seen] == ["HEAD", "GET", "GET", "GET"]
    asked = [headers.get("range") for _, _, headers, _ in script.seen]
    assert asked[:2] == [None, None]
    assert asked[2] == asked[3], "nothing that came is asked for again"
    assert 0 < int(str(asked[3]).removeprefix("bytes=").removesuffix("-")) <= 70_000


def test_where_something_on_the_way_takes_no_parts_what_came_is_skipped(download: Download, tmp_path: Path) -> None:
    download(says(200, BODY, **NAMED), breaks_off(BODY, 70_000, **NAMED), says(200, BODY, **NAMED))
    assert (tmp_path / "file").read_bytes() == BODY


def test_what_changes_in_between_is_not_mixed(download: Download, tmp_path: Path) -> None:
    other = says(200, b"other", X_Checksum_Sha256=digest(b"other"))
    with pytest.raises(Conflict, match="has changed while it was downloaded"):
        download(says(200, BODY, **NAMED), breaks_off(BODY, 70_000, **NAMED), other)
    assert not (tmp_path / "file").exists()


def test_other_bytes_than_were_promised_are_thrown_away(download: Download, tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="thrown away"):
        download(says(200, BODY, **NAMED), says(200, BODY[::-1], **NAMED))
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_is_told_with_its_sentence(download: Download) -> None:
    with pytest.raises(NotFound, match="it has no version 1"):
        download(says(404), says(404, b'{"error": "it has no version 1"}'))


@pytest.mark.parametrize("answer", [says(200, BODY), says(200, BODY, X_Checksum_Sha256="no digest")])
def test_a_server_that_promises_nothing_is_not_believed(download: Download, answer: Answer) -> None:
    with pytest.raises(AgentError, match="doesn't say what it would send"):
        download(answer)
