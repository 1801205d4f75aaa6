"""What the tests of the page share: one browser a file, one deployment a file, somebody who is signed in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.acceptance.browser import Deployment, Reader


@pytest.fixture(scope="module")
def site() -> Iterator[Deployment]:
    """What `attune up` made."""
    from tests.acceptance.browser import deployment

    with deployment() as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium."""
    from tests.acceptance.browser import chromium

    with chromium() as found:
        yield found


@pytest.fixture
def reader(browser: Browser, site: Deployment) -> Iterator[Reader]:
    """Somebody who is signed in as the first account."""
    from tests.acceptance.browser import Reader

    found = Reader(browser, site).sign_in()
    yield found
    found.context.close()
