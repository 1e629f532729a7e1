"""The handshake of RFC 6455, byte by byte: what is agreed to, what is refused and how, and that nothing is lost behind
it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from hub.model import Entry
from hub.outbox import State
from tests.hub_process import HubProcess

from .conftest import well_behaved
from .inside import Inside, until
from .raw import PING, PONG, TEXT, RawSocket, close_frame, frame

pytestmark = pytest.mark.anyio

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
"""The one of RFC 6455, 1.3, with its answer."""
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with well_behaved(tmp_path_factory.mktemp("upgrade"), ping_interval=3, outbox_bytes=65536) as hub:
        yield hub


def request(token: str, *, method: str = "GET", version: str = "1.1", body: bytes = b"", **headers: Any) -> bytes:
    """A handshake. A header is given by its name; None leaves it out, a list gives it more than once."""
    fields = {
        "Host": "hub", "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY,
    } | {name.replace("_", "-"): value for name, value in headers.items()}  # fmt: skip
    lines = [f"{method} /v1/ws?token={token} HTTP/{version}"]
    for name, value in fields.items():
        lines += [f"{name}: {one}" for one in (value if isinstance(value, list) else [value]) if one is not None]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


async def dial(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


async def refused(hub: HubProcess, *pieces: bytes) -> tuple[int, list[str], str]:
    """Send a bad handshake; the status, the headers and the problem's code. The connection has to end."""
    reader, writer = await dial(hub.port)
    try:
        async with asyncio.timeout(2):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.transport.abort()
    status, *lines = head.decode().split("\r\n")
    headers = [line.lower() for line in lines]
    assert "connection: close" in headers
    assert "content-type: application/problem+json" in headers
    return int(status.split()[1]), headers, json.loads(body)["code"]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"Connection": "keep-alive, Upgrade"},
        {"Upgrade": "WebSocket"},
        {"Sec_WebSocket_Extensions": "permessage-deflate; client_max_window_bits"},
        {"Sec_WebSocket_Extensions": "x-nonsense"},
    ],
)
async def test_a_good_handshake(hub: HubProcess, alice: str, change: dict[str, str]) -> None:
    reader, writer = await dial(hub.port)
    writer.write(request(alice, **change))
    head = await reader.readuntil(b"\r\n\r\n")
    assert head == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n\r\n"
    )
    writer.transport.abort()


@pytest.mark.parametrize(
    "key",
    [None, "", "x", "dGhlIHNhbXBsZSBub25j", KEY[:-1], KEY + "=", KEY.replace("=", "!"), "\xe4" * 24, [KEY, KEY]],
    ids=["none", "empty", "short", "15 bytes", "no padding", "too much", "no base64", "no ascii", "two"],
)
async def test_a_bad_key(hub: HubProcess, alice: str, key: Any) -> None:
    status, _, code = await refused(hub, request(alice, Sec_WebSocket_Key=key))
    assert (status, code) == (400, "http_invalid")


@pytest.mark.parametrize("version", [None, "", "8", "012", "14", "13, 8", "x", ["13", "13"], ["8", "13"]])
async def test_another_version_is_told_which_one_the_hub_speaks(hub: HubProcess, alice: str, version: Any) -> None:
    status, headers, code = await refused(hub, request(alice, Sec_WebSocket_Version=version))
    assert (status, code) == (426, "upgrade_required")
    # RFC 6455, 4.2.2 and 4.4; RFC 9110, 15.5.22.
    assert "sec-websocket-version: 13" in headers
    assert "upgrade: websocket" in headers
    assert "connection: upgrade" in headers


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_only_a_get_of_http_1_1_is_one(hub: HubProcess, alice: str, method: str, version: str) -> None:
    status, _, code = await refused(hub, request(alice, method=method, version=version))
    assert (status, code) == (400, "http_invalid")


async def test_http_1_0_is_none(hub: HubProcess, alice: str) -> None:
    assert (await refused(hub, request(alice, version="1.0")))[0] == 400


async def test_one_with_a_body_is_refused_once(hub: HubProcess, alice: str) -> None:
    """By its head: what follows is no body to a parser that sees an upgrade. (In one write: had the hub closed before
    the rest arrives, the client's system might forget the answer.)"""
    status, _, code = await refused(hub, request(alice, method="POST", Content_Length="10", body=b"x" * 10))
    assert (status, code) == (400, "http_invalid")


async def test_who_is_no_websocket_is_told(hub: HubProcess) -> None:
    answer = await asyncio.to_thread(hub.http.get, "/v1/ws")
    assert (answer.status_code, answer.json()["code"]) == (426, "upgrade_required")
    assert answer.headers["upgrade"] == "websocket"
    assert answer.headers["sec-websocket-version"] == "13"
    assert answer.headers["connection"].lower() == "upgrade"


async def test_behind_a_request_that_is_not_answered_yet_it_is_none(hub: HubProcess, alice: str) -> None:
    """The stream would begin in the middle of another answer. A client waits for the one before."""
    event = b'{"type":"t","to":{"topics":["orders:1"]}}'
    publish = b"POST /v1/events HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b" % (
        alice.encode(), len(event), event,
    )  # fmt: skip
    reader, writer = await dial(hub.port)
    writer.write(publish + request(alice))
    said = await reader.read()
    assert re.findall(rb"HTTP/1.1 (\d+)", said) == [b"200", b"426"]
    writer.transport.abort()


# --- What comes behind it


@pytest.mark.parametrize("cuts", [[], [0], [1], [-1], [-70, -5]])
async def test_frames_that_do_not_wait_for_the_answer_are_not_lost(
    hub: HubProcess, alice: str, cuts: list[int]
) -> None:
    said = request(alice)
    early = frame(PING, b"early") + frame(TEXT, b'{"type":"ping","ref":1}') + frame(TEXT, b'{"type":"ping","ref":2}')
    sent = said + early
    reader, writer = await dial(hub.port)
    at = 0
    for cut in [*(len(said) + cut if cut >= 0 else len(sent) + cut for cut in cuts), len(sent)]:
        writer.write(sent[at:cut])
        await writer.drain()
        assert (await asyncio.to_thread(hub.http.get, "/healthz")).status_code == 200  # The hub has read it.
        at = cut
    await reader.readuntil(b"\r\n\r\n")
    stream = RawSocket(reader, writer)
    frames = [await stream.receive() for _ in range(4)]
    assert (PONG, b"early") in frames
    assert [json.loads(text)["type"] for opcode, text in frames if opcode == TEXT] == ["welcome", "ok", "ok"]
    writer.write(close_frame())
    assert await stream.end() == (1000, "")


# --- In this process, to see how far it is and to hold it there


async def test_who_waits_for_their_keys_loses_nothing(inside: Inside) -> None:
    inside.waiting = asyncio.Event()
    reader, writer = await dial(inside.port)
    writer.write(request("good") + frame(TEXT, b'{"type":"ping","ref":1}'))
    await until(lambda: bool(inside.state.tasks))
    writer.write(frame(TEXT, b'{"type":"ping","ref":2}'))
    await until(lambda: b'"ref":2' in inside.http()[0]._early)
    inside.waiting.set()
    await reader.readuntil(b"\r\n\r\n")
    stream = RawSocket(reader, writer)
    said = [await stream.json() for _ in range(3)]
    assert [(one["type"], one.get("ref")) for one in said] == [("welcome", None), ("ok", 1), ("ok", 2)]


async def test_who_waits_for_their_keys_may_not_say_much(inside: Inside) -> None:
    inside.waiting = asyncio.Event()
    reader, writer = await dial(inside.port)
    writer.write(request("good"))
    await until(lambda: bool(inside.state.tasks))
    writer.write(frame(PING, b"x" * 100) * 400)
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    inside.waiting.set()
    await until(lambda: not inside.state.tasks)
    assert len(inside.hub.registry) == 0
    writer.transport.abort()


async def test_who_goes_while_they_wait_is_not_let_in(inside: Inside) -> None:
    inside.waiting = asyncio.Event()
    _, writer = await dial(inside.port)
    writer.write(request("good"))
    await until(lambda: bool(inside.state.tasks))
    writer.transport.abort()
    await until(lambda: not inside.state.connections)
    inside.waiting.set()
    await until(lambda: not inside.state.tasks)
    assert inside.hub.counters.opened == 0


@pytest.mark.parametrize("token", ["good", "bad"])
async def test_one_who_has_not_read_its_answers_is_slow_from_the_start(inside: Inside, token: str) -> None:
    """The transport told of it before it became a WebSocket, and does not say so again."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", inside.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
    asked = 0
    while not asked or not inside.http()[0].flow.write_paused:
        asked += 1
        writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: hub\r\n\r\n")
        while inside.state.total_requests < asked:
            await asyncio.sleep(0)
    writer.write(request(token))
    await until(lambda: not inside.http())
    if token == "good":
        [session] = inside.hub.registry
        names = tuple(session.topics)
        for seq in range(1, 501):
            inside.hub.deliver([Entry(seq, names[:1], b'{"data":%d,"x":"%b"}' % (seq, b"x" * 4000))])
            await asyncio.sleep(0)
        assert session.outbox.state is State.CATCHING_UP
        assert session.link.pending() + session.outbox.queued_bytes < 500_000
        # The sweeper watches it from the first byte on.
        assert session in inside.hub._sweeper._watched
    for _ in range(asked):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        await reader.readexactly(int(length.split(b":")[1]))
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    stream = RawSocket(reader, writer)
    if token == "bad":
        assert (await stream.receive())[1].startswith(b"\x03\xf0token_malformed")
        return
    assert (await stream.json())["type"] == "welcome"
    await until(lambda: session.link.writable)
    assert session not in inside.hub._sweeper._watched
