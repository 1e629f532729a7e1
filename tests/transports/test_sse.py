"""The live stream as server-sent events: what a reader is sent, who is let in, and how it is sent away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.hub_process import HubProcess

from .conftest import well_behaved
from .gauges import eventually
from .http_client import Client, event, post
from .raw import RawSocket
from .stream import Stream, request
from .tokens import Key, claims

pytestmark = pytest.mark.anyio

ORIGIN = "https://app.example.com"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    settings = {"allowed_origins": ORIGIN, "ping_interval": 1, "head_timeout": 3, "presence_topics": "orders:*"}
    with well_behaved(tmp_path_factory.mktemp("sse"), **settings) as hub:
        yield hub


async def publish(hub: HubProcess, *numbers: int, to: str = "orders:1", **fields: Any) -> None:
    batch = [event(type="n", data={"n": n}, to={"topics": [to]}) | fields for n in numbers]
    await asyncio.to_thread(hub.call, "POST", "/v1/events", json=batch)


async def nobody_is_left(hub: HubProcess, within: float = 5) -> None:
    await eventually(hub.metrics, lambda seen: seen["hub_connections"] == 0, within)


# --- What a reader is sent


async def test_a_stream(hub: HubProcess, alice: str) -> None:
    stream = await Stream.open(hub, alice, topics="orders:1", client="tab-00000001")
    assert stream.status == 200
    assert stream.headers["content-type"] == "text/event-stream"
    assert stream.headers["cache-control"] == "no-store, no-transform"
    assert stream.headers["x-accel-buffering"] == "no"
    assert stream.headers["connection"] == "close"
    assert stream.headers["x-content-type-options"] == "nosniff"
    assert "content-length" not in stream.headers
    assert "transfer-encoding" not in stream.headers
    welcome = await stream.next()
    assert (welcome.name, welcome.last_id) == ("welcome", welcome.json["cursor"])
    assert welcome.json["topics"] == ["all", "orders:1", "user:alice"]
    assert welcome.json["client"] == "tab-00000001"
    assert stream.parser.retry is not None
    assert 500 <= stream.parser.retry <= 3000
    presence = await stream.next()
    assert (presence.name, presence.json["users"]) == ("presence", ["alice"])
    await publish(hub, 1, 2)
    await publish(hub, 3, durable=False)
    first, second, third = [await stream.until("message") for _ in range(3)]
    assert [one.json["event"]["data"]["n"] for one in (first, second, third)] == [1, 2, 3]
    assert first.last_id == first.json["cursor"] != welcome.last_id
    assert second.last_id == second.json["cursor"] != first.last_id
    assert "cursor" not in third.json
    assert third.last_id == second.last_id, "an ephemeral event is no place to resume from"
    stream.cut()
    await nobody_is_left(hub)


async def test_it_is_the_same_as_over_a_websocket(hub: HubProcess, alice: str) -> None:
    stream = await Stream.open(hub, alice, topics="orders:2")
    socket = await RawSocket.connect(hub.port, token=alice, topics="orders:2")
    await stream.until("welcome")
    await socket.until("welcome")
    await publish(hub, *range(200), to="orders:2")
    for _ in range(200):
        assert (await stream.until("message")).json == await socket.until("event")
    stream.cut()
    socket.cut()


async def test_a_silent_reader_is_sent_heartbeats(hub: HubProcess, alice: str) -> None:
    stream = await Stream.open(hub, alice)
    await stream.until("welcome")
    began = time.monotonic()
    async with asyncio.timeout(10):
        while stream.parser.comments < 2:
            assert list(stream.parser.feed(await stream.client.reader.read(1000))) == []
    assert time.monotonic() - began < 4
    stream.cut()


async def test_a_quiet_reader_s_cursor_stays_young(start_hub: Callable[..., HubProcess]) -> None:
    hub = start_hub(cursor_interval=0.5)
    stream = await Stream.open(hub, hub.add_user("bob"))
    place = (await stream.until("welcome")).last_id
    hub.publish(topics=["elsewhere"])
    told = await stream.until("cursor")
    assert told.last_id == told.json["cursor"] != place
    stream.cut()


async def test_what_came_before_on_the_connection_does_not_matter(hub: HubProcess, alice: str, client: Client) -> None:
    for asked in (b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n", post(alice, event())):
        assert (await client.ask(asked)).status == 200
    client.writer.write(request(None, ticket="nonsense") + request(alice))
    refused = await Stream.answered(client)
    assert refused.status == 401
    assert await client.is_over(), "what stands behind a refusal is not read"


async def test_a_stream_after_a_publish(hub: HubProcess, alice: str, client: Client) -> None:
    assert (await client.ask(post(alice, event()))).status == 200
    client.writer.write(request(alice))
    stream = await Stream.answered(client)
    assert (await stream.next()).name == "welcome"
    stream.cut()


async def test_a_stream_behind_a_request_that_is_not_answered_yet(hub: HubProcess, alice: str, client: Client) -> None:
    """It takes the way through the app, and is the same."""
    poll = "GET /v1/events?wait=1&topics=orders:none&after=earliest HTTP/1.1\r\nHost: hub\r\n"
    poll += f"Authorization: Bearer {alice}\r\n\r\n"
    client.writer.write(poll.encode() + request(alice, topics="orders:3"))
    assert (await client.answer()).status == 200
    async with asyncio.timeout(10):
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert b"text/event-stream" in head
        await client.reader.readuntil(b"event: welcome\n")
        await publish(hub, 1, to="orders:3")
        await client.reader.readuntil(b'"data":{"n":1}')
    client.cut()
    await nobody_is_left(hub)


@pytest.mark.parametrize(
    ("version", "headers"),
    [
        ("1.0", []),
        ("1.0", ["Connection: keep-alive"]),
        ("1.1", ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings"]),
    ],
)
async def test_old_clients_and_those_who_offer_an_upgrade(
    hub: HubProcess, alice: str, version: str, headers: list[str]
) -> None:
    stream = await Stream.open(hub, alice, *headers, version=version)
    assert (stream.status, stream.headers["connection"]) == (200, "close")
    assert (await stream.next()).name == "welcome"
    stream.cut()


async def test_a_request_with_a_body(hub: HubProcess, alice: str, client: Client) -> None:
    client.writer.write(request(alice, "Content-Length: 10") + b"01234")
    await asyncio.sleep(0)
    client.writer.write(b"56789")
    stream = await Stream.answered(client)
    assert (await stream.next()).name == "welcome"
    stream.cut()


async def test_a_body_that_does_not_come_is_not_waited_for(hub: HubProcess, alice: str, client: Client) -> None:
    client.writer.write(request(alice, "Content-Length: 10"))
    assert await client.is_over(within=6)
    assert hub.metrics()["hub_connections"] == 0


async def test_other_methods_open_nothing(hub: HubProcess, alice: str, client: Client) -> None:
    opened = hub.metrics()["hub_connections_opened_total"]
    for method in ("HEAD", "POST", "PUT", "DELETE"):
        client = await Client.connect(hub)
        client.writer.write(request(alice, "Content-Length: 0", method=method))
        head = (await client.reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert head.split()[1] == "405", method
        assert "allow: get\r\n" in head
        client.cut()
    assert hub.metrics()["hub_connections_opened_total"] == opened


async def test_who_talks_on_is_cut_off(hub: HubProcess, alice: str) -> None:
    stream = await Stream.open(hub, alice)
    await stream.until("welcome")
    stream.client.writer.write(request(alice))  # A little does no harm, and means nothing.
    await publish(hub, 1, to="orders:1")
    stream.client.writer.write(b"x" * 40_000)
    await nobody_is_left(hub)
    assert await stream.end() == (1006, "")


# --- Resuming


async def test_resuming_by_the_url_and_by_the_header(hub: HubProcess, alice: str) -> None:
    stream = await Stream.open(hub, alice, topics="orders:4")
    start = (await stream.until("welcome")).last_id
    await publish(hub, *range(5), to="orders:4")
    assert await stream.numbers(3) == [0, 1, 2]
    place = stream.last_id
    stream.cut()
    by_url = await Stream.open(hub, alice, topics="orders:4", after=start)
    assert (await by_url.until("welcome")).last_id == start
    assert await by_url.numbers(5) == list(range(5))
    by_url.cut()
    # As a browser reconnects: the URL is the old one, the header is what counts.
    for after in (start, "earliest", "nonsense"):
        by_header = await Stream.open(hub, alice, f"Last-Event-ID: {place}", topics="orders:4", after=after)
        assert (await by_header.until("welcome")).last_id == place
        assert await by_header.numbers(2) == [3, 4]
        assert (await by_header.next()).name == "cursor"
        by_header.cut()


async def test_a_cursor_that_is_too_old_is_told(start_hub: Callable[..., HubProcess]) -> None:
    hub = start_hub(retention_bytes=65536, recent_bytes=65536)
    token = hub.add_user("bob", subscribe=["orders:*"])
    place = hub.publish(topics=["orders:1"])["cursor"]
    for n in range(40):
        hub.publish(data={"n": n, "x": "x" * 10_000}, topics=["orders:1"])
    stream = await Stream.open(hub, token, f"Last-Event-ID: {place}", topics="orders:1")
    reset = await stream.until("reset")
    assert (reset.json["reason"], reset.last_id) == ("truncated", reset.json["cursor"])
    first = (await stream.numbers(1))[0]
    assert await stream.numbers(39 - first) == list(range(first + 1, 40))
    stream.cut()
    replaced = await Stream.open(hub, token, "Last-Event-ID: 0123456789ab:5")
    assert (await replaced.until("reset")).json["reason"] == "replaced"
    replaced.cut()


# --- Who is let in


@pytest.mark.parametrize("place", ["header", "token", "ticket"])
async def test_where_a_token_may_stand(hub: HubProcess, alice: str, place: str) -> None:
    query = {}
    if place == "token":
        query = {"token": alice}
    if place == "ticket":
        headers = {"Authorization": f"Bearer {alice}"}
        query = {"ticket": hub.http.post("/v1/auth/ticket", headers=headers).json()["ticket"]}
    stream = await Stream.open(hub, alice if place == "header" else None, **query)
    assert (await stream.until("welcome")).json["user"] == "alice"
    stream.cut()
    if place == "ticket":
        again = await Stream.open(hub, **query)
        assert (again.status, b"ticket_invalid" in again.body) == (401, True)


@pytest.mark.parametrize(
    ("query", "headers", "status", "code"),
    [
        ({}, [], 401, "token_missing"),
        ({"token": "nonsense"}, [], 401, "token_malformed"),
        ({"token": "<alice>"}, ["Authorization: Bearer <alice>"], 400, "credentials_ambiguous"),
        ({"token": "<alice>"}, ["Authorization: Basic YTpi"], 401, "token_malformed"),
        ({"token": "<alice>", "topics": "secret"}, [], 403, "forbidden"),
        ({"token": "<alice>", "topics": "a b"}, [], 422, "topic_invalid"),
        ({"token": "<alice>", "client": "x"}, [], 422, "client_invalid"),
        ({"token": "<alice>", "after": "nonsense"}, [], 422, "cursor_invalid"),
        ({"token": "<alice>"}, ["Last-Event-ID: nonsense"], 422, "cursor_invalid"),
        ({"token": "<alice>", "topics": ",".join(f"orders:{n}" for n in range(200))}, [], 422, "too_many_topics"),
        ({"token": "<alice>"}, ["Origin: https://evil.example"], 403, "origin_forbidden"),
    ],
)
async def test_who_is_refused_is_told_why(
    hub: HubProcess, alice: str, query: dict[str, str], headers: list[str], status: int, code: str
) -> None:
    query = {name: value.replace("<alice>", alice) for name, value in query.items()}
    stream = await Stream.open(hub, None, *(line.replace("<alice>", alice) for line in headers), **query)
    assert stream.status == status
    assert stream.headers["content-type"] == "application/problem+json"
    assert f'"code":"{code}"'.encode() in stream.body
    assert alice.encode() not in stream.body
    assert await stream.client.is_over()


async def test_a_page_of_an_allowed_origin_may_read_it(hub: HubProcess, alice: str) -> None:
    for token, status in ((alice, 200), ("nonsense", 401)):
        stream = await Stream.open(hub, token, f"Origin: {ORIGIN}", "X-Request-ID: r-1")
        assert stream.status == status
        assert stream.headers["x-request-id"] == "r-1"
        assert stream.headers["access-control-expose-headers"] == "Retry-After, X-Request-ID"
        assert stream.headers["access-control-allow-origin"] == ORIGIN
        assert stream.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in stream.headers
        stream.cut()
    # The hub's own page needs no permission, and nobody else has one.
    own = await Stream.open(hub, alice, "Origin: http://hub")
    assert (own.status, "access-control-allow-origin" in own.headers) == (200, False)
    own.cut()
    preflight = hub.http.options(
        "/v1/sse",
        headers={
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authorization,last-event-id",
        },
    )
    assert preflight.status_code == 200


async def test_the_limits_on_connections_and_handshakes(start_hub: Callable[..., HubProcess]) -> None:
    hub = start_hub(connections_user=2, handshakes_address="6/10m", trusted_proxies="10.0.0.1")
    token = hub.add_user("bob")
    socket = await RawSocket.connect(hub.port, token=token)
    stream = await Stream.open(hub, token)
    await stream.until("welcome")
    full = await Stream.open(hub, token)
    assert (full.status, full.headers["retry-after"]) == (429, "1")
    assert b"too_many_connections" in full.body
    stream.cut()
    await eventually(hub.metrics, lambda seen: seen["hub_connections"] == 1)
    for _ in range(3):
        await Stream.open(hub, "nonsense")
    often = await Stream.open(hub, token)
    assert (often.status, b"rate_limited" in often.body) == (429, True)
    assert int(often.headers["retry-after"]) > 10
    socket.cut()


# --- How it ends


async def test_a_logout_ends_it(hub: HubProcess) -> None:
    token = hub.token("alice")
    stream = await Stream.open(hub, token)
    await stream.until("welcome")
    response = await asyncio.to_thread(hub.http.post, "/v1/auth/logout", headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 204
    async with asyncio.timeout(1):
        assert await stream.end() == (1008, "logged_out")
    # And who comes back with it, as a browser does by itself, is told not to.
    assert (await Stream.open(hub, token)).status == 401


async def test_disabling_a_user_ends_it(hub: HubProcess) -> None:
    stream = await Stream.open(hub, hub.add_user("mallory"))
    await stream.until("welcome")
    await asyncio.to_thread(hub.call, "PATCH", "/v1/users/mallory", json={"disabled": True})
    async with asyncio.timeout(1):
        assert await stream.end() == (1008, "user_disabled")


async def test_a_topic_that_is_no_longer_granted_is_left(hub: HubProcess) -> None:
    key = hub.add_service("reader", grants={"subscribe": ["orders:*"], "publish": []})["secret"]
    stream = await Stream.open(hub, key, topics="orders:5")
    assert "orders:5" in (await stream.until("welcome")).json["topics"]
    hub.call("PATCH", "/v1/services/reader", json={"grants": {"subscribe": [], "publish": []}})
    await eventually(
        lambda: hub.call("GET", "/v1/connections?user=reader"), lambda seen: bool(seen) and not seen[0]["topics"]
    )
    stream.cut()


async def test_the_token_s_end_is_its_end(hub: HubProcess) -> None:
    ends = time.time() + 1.5
    stream = await Stream.open(hub, Key(hub.data_dir).sign(claims("alice", exp=ends)))
    assert (await stream.until("welcome")).json["expires"] == ends
    assert await stream.end() == (1008, "token_expired")
    assert ends <= time.time() < ends + 1


async def test_it_is_seen_from_outside(hub: HubProcess, alice: str) -> None:
    stream = await Stream.open(hub, alice, topics="orders:6")
    await stream.until("welcome")
    [found] = hub.call("GET", "/v1/connections?user=alice")
    assert (found["state"], found["address"], "orders:6" in found["topics"]) == ("live", "127.0.0.1", True)
    stream.cut()
    await nobody_is_left(hub)


async def test_the_log_says_nothing_of_tokens(hub: HubProcess, alice: str) -> None:
    (await Stream.open(hub, None, token=alice)).cut()
    await nobody_is_left(hub)
    assert alice not in hub.log()
