"""The directory of ``attune up``: nobody else looks into it, and nobody else has put anything there."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cli.local_site import LocalSite
from agent.errors import UsageError


@pytest.mark.parametrize("before", [False, True], ids=["new", "of an earlier version"])
def test_what_is_made_is_for_this_user_only(tmp_path: Path, before: bool) -> None:
    site = LocalSite(tmp_path / "a" / "site")
    if before:
        for name in ("artifacts", "packs", "runtime_envs"):
            site.path(name).mkdir(parents=True, mode=0o755)
        site.directory.chmod(0o700)
        site.path("lock").touch(0o644)
    with site.held() as mine:
        assert mine
        site.configure(database_url="postgresql:///x", worker="w", sensors="s", host="h", port=1)
    assert not [path for path in (site.directory, *site.directory.iterdir()) if path.stat().st_mode & 0o066]


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777], ids=["all", "group", "sticky"])
def test_a_directory_that_others_write_in_is_refused(tmp_path: Path, mode: int) -> None:
    place = tmp_path / "shared"
    place.mkdir()
    place.chmod(mode)
    with pytest.raises(UsageError, match="nobody else may write"), LocalSite(place).held():
        pass


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("kept")
    site = LocalSite(tmp_path / "site")
    site.directory.mkdir(mode=0o700)
    site.path("lock").symlink_to(victim)
    with pytest.raises(UsageError), site.held():
        pass
    assert victim.read_text() == "kept"
