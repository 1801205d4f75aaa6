"""What somebody types as the URL of an API."""

from __future__ import annotations

import pytest

from agent.client.address import api_url, readable_by_others
from agent.errors import UsageError


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("https://attune.example.org", "https://attune.example.org"),
        (" https://Attune.Example.org/ ", "https://attune.example.org"),
        ("attune.example.org/attune/", "https://attune.example.org/attune"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
    ],
)
def test_a_url_is_read(typed: str, url: str) -> None:
    assert api_url(typed) == url
    assert api_url(url) == url


@pytest.mark.parametrize(
    "typed",
    ["", "ftp://host", "file:///etc/passwd", "https://", "https://u:p@host", "https://host?x=1", "https://host/#x",
     "https://host:notaport", "https://host:99999", "https://ho st", "https://host\n/x", "https://[::1"],
)  # fmt: skip
def test_what_is_no_url_of_an_api_is_refused(typed: str) -> None:
    with pytest.raises(UsageError):
        api_url(typed)


def test_only_a_network_lets_others_read_along() -> None:
    assert readable_by_others("http://attune.example.org")
    assert not any(map(readable_by_others, ("https://attune.example.org", "http://localhost:8080", "http://[::1]:1")))
