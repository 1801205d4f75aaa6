"""Labels from the file that the platform writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import ConfigurationError
from agent.presence.labels import read_labels


def test_labels_as_kubernetes_writes_them(tmp_path: Path) -> None:
    file = tmp_path / "labels"
    file.write_text('app.kubernetes.io/name="attune-agent"\npool="gpu"\nempty=""\n')
    labels, warnings = read_labels(file)
    assert labels == {"app.kubernetes.io/name": "attune-agent", "pool": "gpu"}
    assert not warnings


@pytest.mark.parametrize("line", ["pool", "pool=gpu", '="x"', "pool=1", 'pool="open', "\x00"])
def test_a_line_that_is_no_label_is_left_out_and_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "labels"
    file.write_text(f'good="1"\n{line}\n')
    labels, warnings = read_labels(file)
    assert labels == {"good": "1"}
    assert len(warnings) == 1
    assert f"{file}:2:" in warnings[0]


def test_a_missing_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="labels_file") as caught:
        read_labels(tmp_path / "labels")
    assert caught.value.hint is not None
