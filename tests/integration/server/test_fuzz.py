"""A fuzzer reads the description of the API and sends all kinds of input: never a 500, no answer undescribed."""

from __future__ import annotations

import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from agent.server.routes import ROUTES
from tests.integration.server.conftest import Site

pytestmark = [pytest.mark.postgres, pytest.mark.filterwarnings("ignore")]

#: Examples for each operation: `make fuzz` asks for many. What it finds differs from run to run, and it takes minutes.
EXAMPLES = int(os.environ.get("ATTUNE_TEST_FUZZ_EXAMPLES", "0"))
if not EXAMPLES:
    pytest.skip("run it with: make fuzz", allow_module_level=True)

#: Would end the log-in of the fuzzer itself, wait on purpose, or say 501 on purpose.
LEFT_OUT = ("/auth/login", "/auth/change-password", "/auth/register", "/auth/refresh", "/auth/ldap/login")


@pytest.fixture(scope="module")
def described(site: Site) -> Any:
    """The description that the server itself gives."""
    return schemathesis.openapi.from_url(f"{site.server.url}/api-spec/openapi.json")


@pytest.mark.parametrize(
    "route",
    [one for one in ROUTES if one.path not in LEFT_OUT and not one.streamed],
    ids=lambda one: f"{one.method} {one.path}",
)
def test_no_input_breaks_the_server_or_gets_an_answer_that_is_not_described(
    route: Any, described: Any, site: Site
) -> None:
    operation = described[route.path.replace(":path}", "}")][route.method]

    @given(case=operation.as_strategy())
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def attack(case: Any) -> None:
        answer = case.call(headers={"Authorization": f"Bearer {site.admin.token}"})
        if answer.status_code == 503 and answer.json()["error"]:
            return  # something that nobody set up here, and its answer says what
        if answer.status_code == 404 and not answer.content:
            return  # no route has such a path: with a line's end in it, say
        checks = [not_a_server_error, status_code_conformance, content_type_conformance]
        case.validate_response(answer, checks=checks)

    attack()
