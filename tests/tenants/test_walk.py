"""A foreign tenant's token, at every route and with every frame: it learns nothing, and changes nothing.

Each call is made twice: with names that a tenant's data has, and with names that nothing has. The answers have to be
the same, so that not even whether something exists is told; what a tenant has is the same afterwards as before.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from websockets.sync.client import ClientConnection

from hub.app import Application
from hub.settings import Settings
from tests.hub_process import HubProcess

from .frames import FRAMES, types
from .plans import DOORS, LAST, PLANS, Call, known, open_calls
from .world import GHOST, INNER, MARK, Caller, Names, World, comparable, describe, unsaid

# Nobody is slowed down here, so that each call is answered for what it is.
_COUNTED = ("login_failures", "login_failures_account", "login_failures_address", "login_successes")
UNLIMITED = dict.fromkeys(_COUNTED, "0")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    hub = HubProcess(tmp_path_factory.mktemp("hub"), **UNLIMITED)
    try:
        made = World(hub.start())
        yield made
        made.open.close()
        assert hub.stop() == 0
        assert "Traceback" not in hub.log()
    finally:
        hub.close()


def routes(directory: Path) -> set[str]:
    """All of the app's, as the walk names them."""
    found = set()
    for route in iter_route_contexts(Application(Settings(data_dir=directory)).app.routes):
        kind = type(route.original_route).__name__
        methods = route.methods or ({"WS"} if "WebSocket" in kind else {"MOUNT"})
        found |= {f"{method} {route.path}" for method in methods}
    return found


def test_the_walk_knows_every_route_and_every_frame(tmp_path: Path) -> None:
    every = routes(tmp_path)
    assert every - known() == set(), "say in tests/tenants/plans.py how a foreign tenant's token calls these"
    assert known() - every == set(), "these are no routes (any more)"
    assert set(FRAMES) == types(), "say in tests/tenants/frames.py what a foreign tenant's client says"


def send(world: World, caller: Caller, call: Call) -> tuple[str, str]:
    response = world.hub.http.request(
        call.method, call.path, params=call.params, headers=caller.headers | call.headers, **call.body
    )
    assert response.status_code < 500, (call, response.text)
    return describe(response), response.text


def walk(world: World, caller: Caller, plans: dict[str, Any]) -> None:
    for route, plan in plans.items():
        for call, other in zip(plan(world.real), plan(GHOST), strict=True):
            (status, text), (ghostly, same) = send(world, caller, call), send(world, caller, other)
            where = f"{caller.name}: {route} {call.params} {call.body}\n{text}\n{same}"
            assert INNER not in text, where
            assert MARK not in unsaid(text, world.real), where
            assert (status, comparable(text, world.real, world.real)) == (
                ghostly,
                comparable(same, GHOST, world.real),
            ), where
            if not caller.admin and ("administrat" in text or "operator" in text.lower()):
                assert status.startswith("403"), where
            if call.params.get("tenant") == MARK and caller.admin and takes_tenant(route):
                assert status.startswith("403"), where


@pytest.mark.parametrize("path", ["/metrics", "/v1/overview"])
def test_what_counts_over_all_tenants_is_the_operators(world: World, path: str) -> None:
    for caller in world.callers:
        assert world.hub.http.get(path, headers=caller.headers).status_code == 403, caller.name


def takes_tenant(route: str) -> bool:
    """Administration: there the tenant is named, which a stranger is refused."""
    return any(part in route for part in ("/v1/users", "/v1/services", "/v1/connections", "/v1/audit", "/v1/tokens"))


def test_an_operator_does_not_listen_in_a_tenant(world: World) -> None:
    operator = Caller("the operator", world.hub.admin_headers()["Authorization"].split()[1], admin=True)
    for route in ("GET /v1/events", "GET /v1/presence/{topic:path}"):
        walk(world, operator, {route: PLANS[route]})


def test_no_route_tells_or_changes_anything(world: World) -> None:
    before = world.state()
    walk(world, world.nobody, DOORS)
    for caller in world.callers:
        walk(world, caller, PLANS)
    assert world.state() == before
    for caller in world.callers:
        walk(world, caller, {route: plan for route, plan in LAST.items() if "logout" not in route})
    assert world.state() == before
    for call in open_calls():
        assert MARK not in send(world, world.nobody, call)[1] if call.method == "GET" else True


def test_a_logout_ends_the_callers_session_alone(world: World) -> None:
    before = world.state()
    mine = Caller("a foreign user", world.log_in("globex", "globex-ann")["access_token"])
    [call] = LAST["POST /v1/auth/logout"](world.real)
    assert send(world, mine, call)[0].startswith("204")
    assert world.state() == before


def test_tokens_of_another_tenant_are_not_a_foreign_administrators_to_end(world: World) -> None:
    """Who holds one may use it; that they could end it by their own right would be another matter."""
    before = world.state()
    boss = next(caller for caller in world.callers if caller.admin)
    for token in (world.ann, world.boss, world.api_key):
        status, text = send(world, boss, Call("POST", "/v1/tokens/revoke", body={"json": {"token": token}}))
        assert status.startswith("403"), text
        assert MARK not in text
    assert world.state() == before


# --- The socket


def receive_until(socket: ClientConnection, ref: str) -> list[dict[str, Any]]:
    """What comes, up to the answer to ``ref``."""
    got = []
    while True:
        frame = json.loads(socket.recv(timeout=20))
        got.append(frame)
        if frame.get("ref") == ref:
            return got


def say(socket: ClientConnection, names: Names) -> list[dict[str, Any]]:
    """Every frame, one after the other; all that came."""
    got = []
    for type, made in FRAMES.items():
        for number, frame in enumerate(made(names)):
            ref = f"{type}-{number}"
            socket.send(json.dumps(frame | {"ref": ref}))
            if type != "ack":
                got += receive_until(socket, ref)
    return got


def nothing_told(came: list[dict[str, Any]]) -> None:
    """Events are those that strangers published under the names they said, and so is who is there."""
    assert INNER not in json.dumps(came), came
    assert not any(MARK in frame["event"]["source"] for frame in came if frame.get("type") == "event"), came
    assert not any(MARK in str(frame.get("users")) for frame in came if frame.get("type") == "presence"), came


@pytest.mark.parametrize("number", range(5))
def test_no_frame_tells_or_changes_anything(world: World, number: int) -> None:
    caller = world.callers[number]
    before = world.state()
    talks = []
    for names in (world.real, GHOST):
        with world.connect(caller.token, f"topics={names.topic}&after=earliest&client={names.client}") as socket:
            socket.send(json.dumps({"type": "ping", "ref": "first"}))
            came = receive_until(socket, "first") + say(socket, names)
            nothing_told(came)
            talks.append([frame for frame in came if frame.get("type") not in ("event", "cursor", "presence")])
    real, ghostly = (json.dumps(talk) for talk in talks)
    assert MARK not in unsaid(real, world.real)
    assert comparable(real, world.real, world.real) == comparable(ghostly, GHOST, world.real)
    assert world.state() == before


def test_what_happens_in_a_tenant_is_heard_in_it_alone(world: World) -> None:
    """Live: events of the log, ephemeral ones, who comes and goes. The last is the barrier: a listener's own event,
    published after all of it."""
    listening = [caller for caller in world.callers if "service" not in caller.name and "key" not in caller.name]
    query = f"topics={world.real.topic},user:{world.real.user},all,chat:x&client={world.real.client}"
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(world.connect(caller.token, query)) for caller in listening]
        for socket in sockets:
            assert json.loads(socket.recv(timeout=20))["type"] == "welcome"
        for number in range(3):
            world.publish(f"{MARK}-live-{number}")
            world.publish(f"{MARK}-ephemeral-{number}", durable=False)
        with world.connect(world.boss, f"topics={world.real.topic}") as visitor:
            assert json.loads(visitor.recv(timeout=20))["type"] == "welcome"
        for caller, socket in zip(listening, sockets, strict=True):
            event = {"type": "barrier", "data": caller.name, "to": {"topics": ["chat:x"]}}
            socket.send(json.dumps({"type": "publish", "ref": "x", "event": event, "echo": True}))
            came = receive_until(socket, "x")
            while not any(frame.get("event", {}).get("data") == caller.name for frame in came):
                came.append(json.loads(socket.recv(timeout=20)))
            assert {frame["event"]["type"] for frame in came if frame["type"] == "event"} == {"barrier"}
            people = [frame.get("users", [frame.get("user")]) for frame in came if frame["type"] == "presence"]
            assert INNER not in json.dumps(came)
            assert not any(str(user).startswith(MARK) for some in people for user in some)


def test_server_sent_events_tell_nothing(world: World) -> None:
    for caller in world.callers:
        topics = f"{world.real.topic},user:{world.real.user},all,chat:x"
        query = {"topics": topics, "after": "earliest", "client": world.real.client, "tenant": MARK}
        with world.hub.http.stream("GET", "/v1/sse", params=query, headers=caller.headers) as stream:
            assert stream.status_code == 200
            frames = (json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: "))
            came = [next(frames)]
            assert came[0]["type"] == "welcome"
            world.publish(f"{MARK}-sse-{caller.name.replace(' ', '-')}")
            last = {"id": f"last of {caller.name}".replace(" ", "-"), "type": "barrier", "to": {"topics": ["chat:x"]}}
            assert send(world, caller, Call("POST", "/v1/events", body={"json": last}))[0].startswith("200")
            while came[-1].get("event", {}).get("id") != last["id"]:
                came.append(next(frames))
        nothing_told(came)
    full = {"topics": f"{MARK}#all"}
    response = world.hub.http.get("/v1/sse", params=full, headers=world.callers[0].headers)
    assert response.json()["code"] == "topic_invalid"


def test_the_tenants_own_get_all_of_it(world: World) -> None:
    """Without this, a hub that delivers nothing would pass."""
    found = world.get("/v1/events", world.ann, topics=f"{world.real.topic},all", after="earliest")["events"]
    assert found[0]["event"]["data"] == INNER
    assert {one["topic"] for one in found} <= {world.real.topic, "all", f"user:{world.real.user}"}
    assert found[0]["event"]["source"] == f"service:{world.real.service}"
    assert "#" not in json.dumps(found)
    own = world.get("/v1/audit", world.boss, limit=1000)
    assert any(line["target"] == f"user:{world.real.user}" for line in own["lines"])
    assert f"{MARK}#" not in json.dumps(own)


def test_an_operator_administers_a_tenant_by_naming_it(world: World) -> None:
    users = world.operate("GET", "/v1/users", MARK)["users"]
    assert {user["id"] for user in users} == {f"{MARK}-ann", f"{INNER}-boss"}
    assert all(MARK not in user["id"] for user in world.hub.call("GET", "/v1/users")["users"])
    mine = world.hub.call("GET", "/v1/connections", params={"limit": 1000})
    assert MARK not in json.dumps(mine)
    assert any(one["client"] == world.real.client for one in world.operate("GET", "/v1/connections", MARK))
    whole = world.hub.call("GET", "/v1/audit", params={"limit": 1000})
    assert f"{MARK}#user:{MARK}-ann" in {line["target"] for line in whole["lines"]}
