"""Who looks at the page: the tokens of a log-in in cookies that no script reads, and proof that a form is ours."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from agent.access.login import Session
from agent.access.tokens import Claims, check
from agent.errors import AgentError
from agent.server.call import Services
from agent.server.peer import is_encrypted
from agent.server.problems import Problem

ACCESS_COOKIE, REFRESH_COOKIE, FORM_COOKIE = "attune_access_token", "attune_refresh_token", "attune_form"
_FORM_SECONDS = 30 * 86400


@dataclass
class BrowserSession:
    """What a browser showed, and the cookies that it gets with the answer.

    ``refresh_token`` is what it showed where its access token is too old, else empty.
    """

    services: Services
    claims: Claims | None = None
    form_key: str = ""
    refresh_token: str = ""
    cookies: dict[str, tuple[str, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, request: Request, services: Services) -> BrowserSession:
        """Read the cookies; nothing is asked."""
        found = cls(services, form_key=request.cookies.get(FORM_COOKIE, ""))
        if not 20 <= len(found.form_key) <= 100:
            found.form_key = secrets.token_urlsafe(24)
            found.cookies[FORM_COOKIE] = (found.form_key, _FORM_SECONDS)
        found.claims = _claims(request.cookies.get(ACCESS_COOKIE), services)
        found.refresh_token = request.cookies.get(REFRESH_COOKIE, "") if found.claims is None else ""
        return found

    def renew(self) -> None:
        """Get a new access token in place of one that is too old; asks the database."""
        try:
            self.keep(self.services.logins.refresh(self.refresh_token))
        except AgentError:
            self.forget()

    def keep(self, session: Session) -> None:
        """Let the browser have the tokens of a log-in."""
        self.claims = _claims(session.access_token, self.services)
        seconds = self.services.settings.security.jwt_refresh_expiration
        self.cookies[ACCESS_COOKIE] = (session.access_token, session.expires_in)
        self.cookies[REFRESH_COOKIE] = (session.refresh_token, seconds)

    def forget(self) -> None:
        """Take the tokens back."""
        self.claims = None
        self.cookies[ACCESS_COOKIE] = self.cookies[REFRESH_COOKIE] = ("", 0)

    @property
    def csrf(self) -> str:
        """What each form carries: only this server makes it, and only for this browser and account."""
        subject = self.claims.subject if self.claims else ""
        text = f"form:{subject}:{self.form_key}".encode()
        return hmac.new(self.services.secret.encode(), text, sha256).hexdigest()

    def check_form(self, request: Request, shown: str) -> None:
        """Go on only with a form that this server gave to this browser. Raises Problem."""
        origin = request.headers.get("origin")
        site = request.headers.get("sec-fetch-site", "same-origin")
        host = request.headers.get("host", "")
        public = urlsplit(self.services.settings.server.public_url or "").netloc
        foreign = origin not in (None, "null") and (origin or "").partition("://")[2] not in (host, public)
        if (
            foreign
            or site not in ("same-origin", "none")
            or not hmac.compare_digest(shown.encode(), self.csrf.encode())
        ):
            raise Problem(403, "FORBIDDEN", "this form is too old, or another site sent it: go back, reload, try again")

    def write(self, request: Request, response: Response) -> None:
        """Put the cookies into an answer; over HTTPS they never leave it."""
        below = urlsplit(self.services.settings.server.public_url or "").path.rstrip("/")
        for name, (value, seconds) in self.cookies.items():
            response.set_cookie(
                name,
                value,
                max_age=seconds,
                path=below or "/",
                httponly=True,
                samesite="lax",
                secure=is_encrypted(request, self.services.settings.server),
            )


def _claims(token: str | None, services: Services) -> Claims | None:
    if not token:
        return None
    try:
        found = check(token, secret=services.secret, now=services.clock.now())
    except AgentError:
        return None
    return found if found.kind == "access" and found.expires > services.clock.now() else None
