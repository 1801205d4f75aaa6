"""A missing service: skipped on a laptop, a failure in continuous integration."""

from __future__ import annotations

import pytest

from tests.services.availability import unavailable


def test_a_missing_service_skips_on_a_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="PostgreSQL is not available: install it"):
        unavailable("PostgreSQL", "install it")


def test_a_missing_service_fails_in_continuous_integration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="PostgreSQL is not available: install it"):
        unavailable("PostgreSQL", "install it")
