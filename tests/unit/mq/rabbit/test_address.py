"""A URL becomes connection parameters as the other services of a deployment read it."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from pika import exceptions

from agent.errors import ConfigurationError
from agent.mq.rabbit.address import RabbitAddress, rabbit_address, reason
from tests.services.tls import make_authority


@pytest.mark.parametrize(
    ("url", "vhost"),
    [
        ("amqp://h", "/"),
        ("amqp://h/", "/"),
        ("amqp://h/%2f", "/"),
        ("amqp://h/%2F", "/"),
        ("amqp://h/attune", "attune"),
        ("amqp://h/a%2Fb%20c", "a/b c"),
        ("amqp://h/attune?heartbeat=5", "attune"),
    ],
)
def test_the_path_is_the_virtual_host(url: str, vhost: str) -> None:
    assert rabbit_address(url).vhost == vhost


def test_everything_has_a_default() -> None:
    address = rabbit_address("amqp://")
    assert (address.host, address.port, address.user, address.password) == ("localhost", 5672, "guest", "guest")
    assert rabbit_address("amqps://h").port == 5671


def test_credentials_are_percent_decoded() -> None:
    address = rabbit_address("amqp://us%40er:p%2Fa%3Ass@h:1234/v")
    assert (address.user, address.password, address.port) == ("us@er", "p/a:ss", 1234)
    assert rabbit_address("amqp://user:@h").password == ""


def test_an_ipv6_address_is_understood() -> None:
    address = rabbit_address("amqp://[::1]:5673/v")
    assert (address.host, address.port, address.label) == ("::1", 5673, "[::1]:5673/v")


def test_a_heartbeat_of_the_url_wins() -> None:
    assert rabbit_address("amqp://h?heartbeat=5").parameters("x").heartbeat == 5
    assert rabbit_address("amqp://h?heartbeat=soon").parameters("x").heartbeat == 10


@pytest.mark.parametrize("url", ["http://h", "amqp://h:port/", "amqp://h:99999", "amqp://h:0x1", "amqp:h", "guest@h"])
def test_a_malformed_url_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        rabbit_address(url.replace("//", "//u:s3cret@"))
    assert "s3cret" not in str(caught.value) + str(caught.value.hint)


def test_the_password_shows_nowhere() -> None:
    address = rabbit_address("amqp://u:s3cret@h")
    assert "s3cret" not in repr(address) + address.label


def test_the_connection_is_named_for_operators() -> None:
    properties = rabbit_address("amqp://h").parameters("worker-a publisher").client_properties
    assert properties["connection_name"] == "worker-a publisher"


def test_tls_checks_the_certificate_and_the_host(tmp_path: Path) -> None:
    address: RabbitAddress = rabbit_address("amqps://h", ca_file=make_authority(tmp_path).certificate)
    assert address.tls is not None
    assert address.tls.verify_mode is ssl.CERT_REQUIRED
    assert address.tls.check_hostname
    assert address.parameters("x").ssl_options.server_hostname == "h"
    assert rabbit_address("amqp://h").tls is None


def test_a_file_of_authorities_that_is_missing_or_empty_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for path in (tmp_path / "absent.pem", empty):
        with pytest.raises(ConfigurationError, match=path.name):
            rabbit_address("amqps://h", ca_file=path)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (exceptions.ProbableAuthenticationError(exceptions.ConnectionClosedByBroker(403, "x")), "refused the user"),
        (exceptions.ProbableAccessDeniedError(exceptions.ConnectionClosedByBroker(530, "x")), "virtual host"),
        (exceptions.ConnectionClosedByBroker(320, "CONNECTION_FORCED"), "320 CONNECTION_FORCED"),
        (exceptions.ChannelClosedByBroker(406, "PRECONDITION_FAILED"), "406 PRECONDITION_FAILED"),
        (exceptions.AMQPHeartbeatTimeout("no activity"), "its heartbeats stopped"),
        (exceptions.AMQPConnectionError(ConnectionRefusedError(111, "Connection refused")), "Connection refused"),
        (exceptions.StreamLostError("Transport indicated EOF"), "it closed the connection"),
        (exceptions.AMQPConnectionError(TimeoutError()), "timed out"),
    ],
)
def test_reasons_are_short_words(error: BaseException, words: str) -> None:
    assert words in reason(error)
