"""Hostile clients who have a token or want to pass for one who has: what they try, and the answer that each gets."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Iterator

import pytest

from tests.hub_process import HubProcess

from .gauges import MEBIBYTE, resident
from .raw import TEXT, RawSocket, frame

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """One hub for the module, that takes compressed frames. It outlives all of it and has no traceback in its log."""
    hub = HubProcess(tmp_path_factory.mktemp("attacks"), compression=True, ping_interval=5)
    try:
        hub.start().add_user("alice", subscribe=["orders:*"], publish=["orders:*"])
        yield hub
        assert hub.stop() == 0
        assert "Traceback" not in hub.log()
    finally:
        hub.close()


async def answer(hub: HubProcess, request: bytes) -> bytes:
    """Send bytes and read what is said until the hub ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    try:
        async with asyncio.timeout(5):
            writer.write(request)
            return await reader.read()
    finally:
        writer.transport.abort()


# --- Names of topics

TRICKS = {
    "NUL": "orders:\0",
    "dots and slash": "orders:../user:bob:\\..",
    "newline": "orders:1\n",
    "wildcard": "orders:*",
    "everything": "*",
    "Cyrillic o": "\u043erders:1",
    "fullwidth colon": "orders\uff1a1",
    "zero width": "orders:1\u200b",
    "right to left": "orders:\u202e1",
    "empty segment": "orders::1",
    "10 kB": "orders:" + "x" * 10_000,
}


@pytest.mark.parametrize("name", TRICKS.values(), ids=TRICKS)
async def test_a_name_that_is_none_is_refused_everywhere(hub: HubProcess, alice: str, name: str) -> None:
    body = {"type": "x", "to": {"topics": [name]}}
    headers = {"Authorization": f"Bearer {alice}"}
    response = await asyncio.to_thread(hub.http.post, "/v1/events", json=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (422, "topic_invalid")
    response = await asyncio.to_thread(hub.http.get, "/v1/events", params={"topics": name}, headers=headers)
    assert (response.status_code, response.json()["code"]) == (422, "topic_invalid")
    socket = await RawSocket.connect(hub.port, token=alice)
    socket.say(type="subscribe", ref=1, topics=[name])
    said = await socket.until("error")
    assert (said["ref"], said["code"] in ("topic_invalid", "frame_invalid")) == (1, True)


@pytest.mark.parametrize("name", ["user:bob", "USER:alice", "user:alice:..", "Orders:1", "orders", "ALL"])
async def test_a_name_that_looks_like_an_allowed_one_is_not_it(hub: HubProcess, alice: str, name: str) -> None:
    socket = await RawSocket.connect(hub.port, token=alice)
    socket.say(type="subscribe", ref=1, topics=[name])
    assert (await socket.until("error"))["code"] == "forbidden"


# --- JSON


@pytest.mark.parametrize(
    "data",
    ["[" * 50_000, "[" * 5_000 + "]" * 5_000, "1e999", "-1e999", "NaN", "9" * 50_000, '"\\ud800"'],
    ids=["open", "deep", "infinite", "minus infinite", "no number", "50,000 digits", "half a character"],
)
async def test_a_json_bomb_is_refused(hub: HubProcess, alice: str, data: str) -> None:
    body = '{"type":"x","to":{"topics":["orders:1"]},"data":' + data + "}"
    headers = {"Authorization": f"Bearer {alice}", "Content-Type": "application/json"}
    response = await asyncio.to_thread(hub.http.post, "/v1/events", content=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (422, "event_invalid")
    assert len(response.text) < 1000


async def test_of_members_of_one_name_the_last_is_checked_and_sent(hub: HubProcess, alice: str) -> None:
    headers = {"Authorization": f"Bearer {alice}", "Content-Type": "application/json"}
    body = '{"type":"x","to":{"topics":["orders:1"]},"to":{"topics":["orders:2"]},"data":{"a":1,"a":2}}'
    response = await asyncio.to_thread(hub.http.post, "/v1/events", content=body, headers=headers)
    assert response.status_code == 200
    said = await asyncio.to_thread(hub.http.get, "/v1/events", params={"topics": "orders:2"}, headers=headers)
    [entry] = [one for one in said.json()["events"] if one["event"]["id"] == response.json()["id"]]
    assert (entry["topic"], entry["event"]["data"]) == ("orders:2", {"a": 2})
    # Rights are those of what is done, whatever stood there first.
    body = '{"type":"x","to":{"topics":["orders:1"]},"to":{"topics":["secret:1"]}}'
    response = await asyncio.to_thread(hub.http.post, "/v1/events", content=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")


# --- Heads that others could read in another way

SMUGGLED = {
    "length and chunks": "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    "chunks and length": "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    "two lengths": "Content-Length: 4\r\nContent-Length: 5\r\n",
    "a list of lengths": "Content-Length: 4, 4\r\n",
    "a signed length": "Content-Length: +4\r\n",
    "chunks that are none": "Transfer-Encoding: xchunked\r\n",
    "a folded header": "X-One: a\r\n b\r\nContent-Length: 4\r\n",
    "a space before the colon": "Content-Length : 4\r\n",
    "bare LF": "X-One: a\nContent-Length: 4\r\n",
    "bare CR": "X-One: a\rContent-Length: 4\r\n",
    "NUL": "X-One: a\0b\r\nContent-Length: 4\r\n",
}


@pytest.mark.parametrize("lines", SMUGGLED.values(), ids=SMUGGLED)
async def test_a_second_request_is_not_smuggled_in(hub: HubProcess, lines: str) -> None:
    head = f"POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{lines}\r\n"
    said = await answer(hub, f"{head}0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert said.startswith(b"HTTP/1.1 4"), said
    assert said.count(b"HTTP/1.1 ") == 1
    assert b'"status":"ok"' not in said


async def test_two_requests_in_a_row_get_two_answers(hub: HubProcess) -> None:
    """Or the test above would say nothing."""
    head = "POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n"
    second = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    said = await answer(hub, f"{head}0\r\n\r\n{second}".encode())
    assert said.count(b"HTTP/1.1 ") == 2
    assert b'"status":"ok"' in said


async def test_cookies_open_nothing(hub: HubProcess, alice: str) -> None:
    cookies = "; ".join(f"{name}={alice}" for name in ("token", "access_token", "session", "Authorization", "bearer"))
    response = await asyncio.to_thread(hub.http.get, "/v1/me", headers={"Cookie": cookies})
    assert (response.status_code, response.json()["code"]) == (401, "token_missing")
    assert "set-cookie" not in response.headers
    socket = await RawSocket.connect(hub.port, headers=[("Cookie", cookies)])
    assert (await socket.end())[1].startswith("token_missing")


# --- Storms and bombs


async def test_a_storm_of_subscribes_keeps_nobody_else_waiting(hub: HubProcess, alice: str) -> None:
    stormy, calm = [await RawSocket.connect(hub.port, token=alice) for _ in range(2)]
    await calm.until("welcome")
    names = [f"orders:{number}" for number in range(100)]
    storm = [json.dumps({"type": kind, "ref": 1, "topics": names}).encode() for kind in ("subscribe", "unsubscribe")]
    stormy.writer.write(b"".join(frame(TEXT, text) for text in storm) * 500)
    async with asyncio.timeout(2):
        calm.say(type="ping", ref=1)
        assert (await calm.until("ok"))["ref"] == 1


async def test_a_compression_bomb_is_not_inflated(hub: HubProcess, alice: str) -> None:
    headers = [("Sec-WebSocket-Extensions", "permessage-deflate")]
    socket = await RawSocket.connect(hub.port, token=alice, headers=headers)
    packer = zlib.compressobj(9, wbits=-15)
    bomb = packer.compress(bytes(64 * MEBIBYTE)) + packer.flush(zlib.Z_SYNC_FLUSH)
    bomb = bomb[:60_000]
    before = resident(hub.pid)
    packed = frame(TEXT, bomb)
    socket.writer.write(bytes([packed[0] | 0x40]) + packed[1:])
    async with asyncio.timeout(5):
        assert (await socket.end())[0] == 1009
    assert resident(hub.pid) - before < 8 * MEBIBYTE
