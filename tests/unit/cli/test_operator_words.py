"""A word that ``attune`` does not know is answered with the nearest one that it knows."""

from __future__ import annotations

import pytest

from agent.cli.operator import run
from agent.errors import UsageError


@pytest.mark.parametrize(
    ("words", "nearest", "see"),
    [
        (["exectuion", "list"], "'execution'", "attune --help"),
        (["worker", "crodon", "w1"], "'cordon'", "attune worker --help"),
        (["run", "--no-wiat", "core.echo"], "'--no-wait'", "attune run --help"),
    ],
)
def test_the_nearest_word_is_named(words: list[str], nearest: str, see: str) -> None:
    with pytest.raises(UsageError) as refused:
        run(words)
    assert nearest in str(refused.value)
    assert refused.value.hint == f"see: {see}"


def test_a_word_that_is_like_none_is_refused_with_the_list() -> None:
    with pytest.raises(UsageError, match="No such command 'zzz'") as refused:
        run(["zzz"])
    assert refused.value.hint == "see: attune --help"
