"""Sign in and out."""

from __future__ import annotations

from starlette.responses import Response

from agent.server.page.endpoints import PageRoute
from agent.server.page.rendering import SECTIONS
from agent.server.page.view import View
from agent.server.problems import problem_of


def home(view: View) -> Response:
    """Go to the first page that the account may see."""
    for path, _, resource, action, _ in SECTIONS:
        if view.may(resource, action):
            return view.go(f"/{path}")
    return view.show("nothing.html")


def form(view: View) -> Response:
    """Show the form; whoever is signed in goes on."""
    if view.session.claims is not None:
        return view.go_back(_wanted(view.query.get("next", "")))
    return view.show("sign_in.html", wanted=view.query.get("next", ""), name="")


def sign_in(view: View) -> Response:
    """Look at name and password."""
    wanted, name = view.value("next"), view.value("login")
    view.caller.tried = name
    try:
        found = view.services.logins.with_password(name, view.value("password"), address=view.caller.address)
    except Exception as error:  # noqa: BLE001 - told beside the form
        problem = problem_of(error)
        view.note("POST", "/auth/login", problem.status)
        return view.show("sign_in.html", problem.status, wanted=wanted, name=name, problem=problem.message)
    view.note("POST", "/auth/login", 200)
    view.session.keep(found)
    return view.go_back(_wanted(wanted))


def sign_out(view: View) -> Response:
    """End the log-in, also for others that show its tokens."""
    shown = view.request.cookies.get("attune_refresh_token")
    if shown:
        view.services.logins.log_out(shown)
    view.session.forget()
    return view.go("/sign-in")


def _wanted(text: str) -> str:
    """Only an address of this page is gone to."""
    return text if text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable() else "/"


ROUTES = (
    PageRoute("GET", "/", home),
    PageRoute("GET", "/sign-in", form, public=True),
    PageRoute("POST", "/sign-in", sign_in, public=True),
    PageRoute("POST", "/sign-out", sign_out, public=True),
)
