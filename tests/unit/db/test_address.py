"""How the settings' URL becomes libpq parameters."""

from __future__ import annotations

import pytest

from agent.db.address import address_of
from agent.errors import ConfigurationError
from agent.settings import DatabaseSettings


def parameters(url: str) -> dict[str, object]:
    return address_of(DatabaseSettings(url=url), application_name="test").parameters


def test_a_url_becomes_libpq_parameters() -> None:
    found = parameters("postgresql://me:p%40ss@db.example:6543/attune?sslmode=verify-full&sslrootcert=/ca.pem")
    assert found["user"] == "me"
    assert found["password"] == "p@ss"
    assert (found["host"], found["port"], found["dbname"]) == ("db.example", "6543", "attune")
    assert (found["sslmode"], found["sslrootcert"]) == ("verify-full", "/ca.pem")
    assert found["application_name"] == "test"


def test_the_user_is_always_explicit_because_a_container_uid_may_have_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGUSER", "from_environment")
    assert parameters("postgresql://db/attune")["user"] == "from_environment"
    monkeypatch.delenv("PGUSER")
    assert parameters("postgresql://db/attune")["user"]


def test_the_url_outranks_the_user_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGUSER", "from_environment")
    assert parameters("postgresql://me@db/attune")["user"] == "me"


def test_a_server_that_vanished_is_noticed_within_a_minute_unless_the_url_says_otherwise() -> None:
    assert parameters("postgresql://db/attune")["tcp_user_timeout"] <= 60_000
    assert parameters("postgresql://db/attune?tcp_user_timeout=5")["tcp_user_timeout"] == "5"


def test_the_options_of_other_drivers_are_translated_or_left_out() -> None:
    found = parameters("postgresql://db/attune?ssl-mode=verify-ca&ssl-ca=/ca.pem&statement-cache-capacity=9")
    assert (found["sslmode"], found["sslrootcert"]) == ("verify-ca", "/ca.pem")
    assert "statement-cache-capacity" not in found


@pytest.mark.parametrize(
    ("url", "key", "value"),
    [
        ("postgresql:///attune?host=/run/postgresql", "host", "/run/postgresql"),
        ("postgresql://me:why?@db/attune", "password", "why?"),
        ("postgresql://db/attune?password=a%26b%3Dc+d", "password", "a&b=c+d"),
        ("postgres://[::1]:5433/attune", "host", "::1"),
        ("host=db dbname=attune", "host", "db"),
    ],
)
def test_urls_are_read_as_libpq_reads_them(url: str, key: str, value: str) -> None:
    assert parameters(url)[key] == value


@pytest.mark.parametrize("url", ["postgresql://me:secret@[db/attune", "mysql://me:secret@db/attune", "secret"])
def test_a_malformed_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parameters(url)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_label_and_the_representation_name_the_server_and_no_password() -> None:
    settings = DatabaseSettings(url="postgresql://me:secret@db.example:6543/attune")
    address = address_of(settings, application_name="test")
    assert address.label == "db.example:6543/attune"
    assert "secret" not in repr(address)


def test_public_is_searched_after_the_schema() -> None:
    assert address_of(DatabaseSettings(schema="Attune"), application_name="t").search_path == "attune, public"


def test_a_test_schema_is_searched_alone() -> None:
    assert address_of(DatabaseSettings(schema="test_1"), application_name="t").search_path == "test_1"


@pytest.mark.parametrize("name", ["", "a" * 64, "a-b", "a; DROP SCHEMA b", 'a"b', "a b", "ä"])
def test_a_schema_with_an_unusable_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"database\.schema"):
        address_of(DatabaseSettings(schema=name), application_name="test")
