"""What is written of a result before it is sent to the server."""

from __future__ import annotations

import pytest

from agent.db.error_translation import may_pass
from agent.errors import DatabaseError
from agent.execution.recording import statements
from agent.execution.report import Report


def test_a_text_that_no_row_can_hold_is_refused_before_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "_LONGEST_STRING", 100)

    def stored(text: str) -> bytes:
        return statements._stored([Report(7, 1, "a.b", "completed", {"stdout": text})], {})[1]

    assert len(stored("\n" * 90)) > 100  # escaped it is longer, stored it is not
    with pytest.raises(DatabaseError, match="execution 7: a text of 150 bytes") as caught:
        stored("\0" * 50)
    assert not may_pass(caught.value)
