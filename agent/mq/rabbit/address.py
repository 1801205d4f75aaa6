"""Where RabbitMQ is: an ``amqp://`` or ``amqps://`` URL as connection parameters, and what went wrong in words."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import pika
from pika import exceptions
from pika.adapters.utils import connection_workflow as workflow

from agent.authorities import tls_context
from agent.errors import BrokerUnavailable, ConfigurationError

# A peer that vanished without a word is noticed within half a minute (pika looks every 15 s), not after the kernel's
# fifteen minutes.
HEARTBEAT_SECONDS = 10
_UNACKNOWLEDGED_MILLISECONDS = 20_000
_PORTS = {"amqp": 5672, "amqps": 5671}


@dataclass(frozen=True)
class RabbitAddress:
    """One virtual host of one server, and how to get there. ``label`` names it without any secret."""

    host: str
    port: int
    vhost: str
    user: str
    password: str = field(repr=False)
    tls: ssl.SSLContext | None
    heartbeat: int
    connect_timeout: float

    @property
    def label(self) -> str:
        """Host, port and virtual host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}/{self.vhost.removeprefix('/')}"

    def parameters(self, connection_name: str) -> pika.ConnectionParameters:
        """Parameters of one connection, which operators see as ``connection_name``."""
        return pika.ConnectionParameters(
            host=self.host,
            port=self.port,
            virtual_host=self.vhost,
            credentials=pika.PlainCredentials(self.user, self.password),
            heartbeat=self.heartbeat,
            ssl_options=None if self.tls is None else pika.SSLOptions(self.tls, self.host),
            connection_attempts=1,
            socket_timeout=self.connect_timeout,
            stack_timeout=self.connect_timeout + 5,
            client_properties={"connection_name": connection_name, "product": "attune-agent"},
            tcp_options={"TCP_USER_TIMEOUT": _UNACKNOWLEDGED_MILLISECONDS},
        )


def rabbit_address(url: str, *, ca_file: Path | None = None, connect_timeout: float = 10.0) -> RabbitAddress:
    """Read a URL. Without a path the virtual host is ``/``, which ``%2f`` means as well.

    Raises:
        ConfigurationError: the URL is malformed, or the file of authorities is unusable. The password is never shown.
    """
    parts = urlsplit(url)
    port = _port(parts)
    if parts.scheme not in _PORTS or "://" not in url or not 0 < port < 65536:
        raise ConfigurationError(
            "message_queue.url is not a valid AMQP URL",
            hint="write amqp://user:password@host:5672/vhost, special characters percent-encoded",
        )
    heartbeat = parse_qs(parts.query).get("heartbeat", [""])[0]
    return RabbitAddress(
        host=unquote(parts.hostname or "localhost"),
        port=port,
        vhost=unquote(parts.path[1:]) or "/",
        user=unquote(parts.username or "guest"),
        password=unquote(parts.password if parts.password is not None else "guest"),
        tls=_tls(ca_file) if parts.scheme == "amqps" else None,
        heartbeat=int(heartbeat) if heartbeat.isascii() and heartbeat.isdigit() else HEARTBEAT_SECONDS,
        connect_timeout=connect_timeout,
    )


def _port(parts: SplitResult) -> int:
    try:
        return parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return 0


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return tls_context(ca_file)
    except OSError as error:
        raise ConfigurationError(f"message_queue.ca_file {ca_file} can't be used: {error}") from error


def reason(error: BaseException) -> str:
    """Say in a few words why a connection failed or ended."""
    for cause in _causes(error):
        match cause:
            case exceptions.ProbableAuthenticationError() | exceptions.AuthenticationError():
                return "it refused the user name or the password"
            case exceptions.ProbableAccessDeniedError():
                return "it has no such virtual host, or the user may not use it"
            case exceptions.AMQPHeartbeatTimeout():
                return "its heartbeats stopped"
            case exceptions.ConnectionClosed() | exceptions.ChannelClosed():
                return f"{cause.reply_code} {cause.reply_text}"
            case workflow.AMQPConnectorStackTimeout() | TimeoutError():
                return "timed out"
            case ssl.SSLCertVerificationError():
                return f"its certificate is not trusted: {cause.verify_message}"
            case OSError():
                return cause.strerror or str(cause)
            case exceptions.StreamLostError() | exceptions.IncompatibleProtocolError():
                return "it closed the connection"
    return str(error) or type(error).__name__


def _causes(error: BaseException) -> list[BaseException]:
    """The error, what it wraps and what that wraps, the innermost last."""
    found = [error]
    for cause in found:
        match cause:
            case workflow.AMQPConnectionWorkflowFailed():
                found.append(cause.exceptions[-1])
            case workflow.AMQPConnectorPhaseErrorBase():
                found.append(cause.exception)
            case exceptions.AMQPError() | exceptions.AMQPConnectionError():
                found.extend(argument for argument in cause.args if isinstance(argument, BaseException))
        if cause.__cause__ is not None:
            found.append(cause.__cause__)
        if len(found) > 20:
            break
    return sorted(found, key=lambda cause: isinstance(cause, exceptions.StreamLostError))


def unavailable(label: str, error: BaseException) -> BrokerUnavailable:
    """The error for a server that can't be reached."""
    return BrokerUnavailable(f"RabbitMQ at {label} can't be reached: {reason(error)}")
