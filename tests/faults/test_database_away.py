"""PostgreSQL stops and comes back under two real hubs: who is connected stays, who comes is told to come back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.hub_process import HubProcess
from tests.postgres import PostgresServer, find_programs


@pytest.fixture
def server(postgres: PostgresServer) -> Iterator[PostgresServer]:
    programs = find_programs()
    assert programs is not None
    own = PostgresServer(programs)
    try:
        yield own.start()
    finally:
        own.close()


def until(what: Callable[[], bool], seconds: float) -> float:
    """Wait for it; how long it took."""
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < seconds, "in vain"
        time.sleep(0.02)
    return time.monotonic() - began


def reason_of_the_end(socket: ClientConnection) -> str:
    try:
        while True:
            socket.recv(10)
    except ConnectionClosed as end:
        assert end.rcvd is not None
        return end.rcvd.reason


def test_it_is_away_and_back(server: PostgresServer, start_hub: Callable[..., HubProcess]) -> None:
    shared = {"database_url": server.database(), "signing_secret": "of both hubs, long enough to sign",
              "database_timeout": 2}  # fmt: skip
    one, two = start_hub(**shared), start_hub(**shared)
    alice = one.add_user("alice")
    assert two.token("alice"), "who was made at one is known to the other"
    refresh = one.login("alice", "password of alice")["refresh_token"]
    headers = one.admin_headers()

    with connect(f"{one.ws_url}?token={alice}") as socket:
        assert json.loads(socket.recv(10))["type"] == "welcome"
        server.stop()
        for hub in (one, two):
            assert until(lambda hub=hub: hub.http.get("/readyz").status_code == 503, 5) < 5
            assert hub.http.get("/readyz").json()["code"] == "database_unavailable"
            assert hub.http.get("/healthz").status_code == 200, "it is no reason to restart a hub"
            assert hub.http.get("/readyz?without=database").status_code == 200, "nor to send nobody to it"

        body = {"type": "n", "data": 1, "to": {"users": ["alice"]}}
        assert one.http.post("/v1/events", headers=headers, json=body).is_success
        assert json.loads(socket.recv(10))["event"]["data"] == 1, "who is connected goes on receiving"
        with connect(f"{one.ws_url}?token={alice}") as another:
            assert json.loads(another.recv(10))["type"] == "welcome", "a token that is good is good"

        for path, body in (
            ("/v1/auth/login", {"username": "alice", "password": "password of alice"}),
            ("/v1/auth/refresh", {"refresh_token": refresh}),
        ):
            answer = two.http.post(path, json=body)
            assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
            assert int(answer.headers["Retry-After"]) >= 1
        assert one.http.get("/v1/users", headers=headers).status_code == 503

        server.start()
        for hub in (one, two):
            until(lambda hub=hub: hub.http.get("/readyz").status_code == 200, 10)
        assert two.http.post("/v1/auth/refresh", json={"refresh_token": refresh}).status_code == 200
        two.call("PATCH", "/v1/users/alice", json={"disabled": True})
        told = time.monotonic()
        assert "user_disabled" in reason_of_the_end(socket)
        assert time.monotonic() - told < 2, "what changed on one hub ends connections of the other, soon"
    for hub in (one, two):
        assert "Traceback" not in hub.log()


def test_a_hub_does_not_start_without_it(server: PostgresServer, start_hub: Callable[..., HubProcess]) -> None:
    settings = {"database_url": server.empty_database(), "signing_secret": "of both hubs, long enough to sign"}
    with pytest.raises(RuntimeError, match=r"ended with 2:\s+.*lacks \d+ migrations?: run `hub migrate`"):
        start_hub(**settings)
    hub = start_hub(**settings, database_migrate="true")
    assert httpx.get(f"{hub.url}/readyz", trust_env=False).status_code == 200
    hub.stop()
    server.stop()
    with pytest.raises(RuntimeError, match="cannot be had"):
        hub.start()
    server.start()


def test_the_key_that_signs_has_to_be_given(postgres: PostgresServer, start_hub: Callable[..., HubProcess]) -> None:
    with pytest.raises(RuntimeError, match="has to be given, the same to every hub"):
        start_hub(database_url=postgres.database())
