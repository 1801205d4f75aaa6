"""What only a sensor service needs: a server that takes events, and tokens for those who send them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agent.configuration import Loaded
from agent.db.pool import Database
from agent.doctor.finding import Finding, fail, fine, warn
from agent.errors import AgentError
from agent.execution.inputs.variables import api_url
from agent.transport.address import server_address
from agent.transport.connection import ServerConnection
from agent.transport.signing_secret import SigningSecret

_PATIENCE = 5.0


def check_sensors(loaded: Loaded, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Ask the server how it is, and say where tokens come from."""
    settings = loaded.settings
    url = api_url(loaded.variables.api_url, settings.server.host, settings.server.port)
    yield _server(loaded, url, environ)
    if settings.security.jwt_secret is None and settings.agent.bootstrap_token:
        yield fine("sensor tokens", "asked of the server, with agent.bootstrap_token")
        return
    database = Database(settings.database, application_name="attune-agent doctor")
    try:
        known = SigningSecret(database, settings.security.jwt_secret)()
    finally:
        database.close()
    if known is None:
        remedy = "set security.jwt_secret to that of the server, or agent.bootstrap_token, or start the server once"
        yield warn("sensor tokens", "there is nothing to sign them with: no sensor starts", remedy)
    else:
        yield fine("sensor tokens", "signed here")


def _server(loaded: Loaded, url: str, environ: Mapping[str, str]) -> Finding:
    try:
        connection = ServerConnection(server_address(url, loaded.settings.network, environ), None, patience=_PATIENCE)
        try:
            connection.request("GET", "/health")
        finally:
            connection.close()
    except AgentError as error:
        return fail("events", f"{url}: {error}", error.hint or "set ATTUNE_API_URL to where the server is")
    return fine("events", f"the server at {url} answers")
