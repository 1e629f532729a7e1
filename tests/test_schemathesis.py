"""Schemathesis over the whole OpenAPI document: nothing that it can think of is answered with a 500.

Against a real hub in a process of its own, as an administrator and as a plain user, with data that fits the document
and with data that does not. Each answer also has to be one that the document tells of, by status and media type.
The examples are the same in every run; ``SCHEMATHESIS_EXAMPLES=n`` asks for another number of each kind.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from .hub_process import ADMIN_PASSWORD, HubProcess

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "5"))
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance]
OPEN_TO_NOBODY = {"POST /v1/auth/login", "POST /v1/auth/refresh", "POST /v1/auth/token"}
"""They want a password or a secret, which no made-up one is: their usual answer is 401."""

STREAM = "GET /v1/sse"
"""Its answer has no end, so that only its head is read."""


# Passwords are slow to check, and many are sent.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """Without the limits on attempts: this many of them are no person."""
    limits = ("login_failures", "login_failures_account", "login_failures_address", "login_successes")
    hub = HubProcess(tmp_path_factory.mktemp("schemathesis"), **dict.fromkeys(limits, 0))
    try:
        hub.start().add_user("alice", subscribe=["orders:*"], publish=["orders:*"])
        yield hub
        assert hub.stop() == 0
        assert "Traceback" not in hub.log()
    finally:
        hub.close()


@pytest.mark.parametrize(("name", "password"), [("admin", ADMIN_PASSWORD), ("alice", "password of alice")])
def test_nothing_is_answered_with_a_500(hub: HubProcess, name: str, password: str) -> None:
    document = hub.http.get("/openapi.json").json()
    statuses: dict[str, set[int]] = defaultdict(set)
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        operation: Any = found.ok()
        # For each its own: to log out is one of them.
        headers = {"Authorization": f"Bearer {hub.login(name, password)['access_token']}"}
        for mode in GenerationMode:
            ask(hub, operation, mode, headers, statuses[operation.label])
    assert len(statuses) == sum(len(methods) for methods in document["paths"].values())
    # It came past the door, or this test would say nothing.
    assert {label for label, seen in statuses.items() if seen <= {401}} <= OPEN_TO_NOBODY


def ask(hub: HubProcess, operation: Any, mode: GenerationMode, headers: dict[str, str], statuses: set[int]) -> None:
    """Send an operation's examples, and look at each answer."""

    @seed(1)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Case) -> None:
        if "wait" in (case.query or {}):
            case.query["wait"] = 0  # A long poll may hold the answer for a minute, as it says.
        if operation.label == STREAM:
            asked = case.as_transport_kwargs(base_url=hub.url, headers=headers)
            with requests.request(**asked, stream=True, timeout=60) as stream:
                statuses.add(stream.status_code)
                assert str(stream.status_code) in operation.definition.raw["responses"]
                assert stream.status_code < 500
            return
        response = case.call(base_url=hub.url, headers=headers, timeout=60)
        statuses.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    try:
        send()
    except Unsatisfiable:
        # A call that takes nothing cannot be given something wrong.
        assert mode is GenerationMode.NEGATIVE
