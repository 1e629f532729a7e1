"""Rude clients: what breaks HTTP or the WebSocket protocol gets a prompt end, costs little, and is no news."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.hub_process import HubProcess

from .conftest import well_behaved
from .gauges import MEBIBYTE, eventually, resident, wait_until
from .raw import BINARY, CLOSE, CONT, PING, PONG, TEXT, RawSocket, close_frame, frame, handshake

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """One hub for the module. However it was treated: it lives, nothing is left, and its log has no traceback."""
    impatient = {"ping_interval": 1, "head_timeout": 1, "stall_timeout": 2}
    with well_behaved(tmp_path_factory.mktemp("rude"), max_request_bytes=MEBIBYTE, **impatient) as hub:
        yield hub
        wait_until(lambda: hub.metrics()["hub_connections"] == 0)


async def answer(hub: HubProcess, *sent: bytes, within: float = 5) -> bytes:
    """Send bytes and read until the hub ends the connection; fails if it does not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    said = b""
    try:
        async with asyncio.timeout(within):
            for piece in sent:
                writer.write(piece)
                await writer.drain()
            while piece := await reader.read(65536):
                said += piece
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    return said


async def welcomed(hub: HubProcess, token: str, **options: Any) -> RawSocket:
    socket = await RawSocket.connect(hub.port, token=token, **options)
    assert (await socket.json())["type"] == "welcome"
    return socket


# --- Before the handshake


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/v1/ws?token=" + "x" * 33_000, []),
        ("/v1/ws?token=" + "x" * 100_000, []),
        ("/v1/ws", [("Cookie", "x" * 33_000)]),
        ("/v1/ws", [("Cookie", "x" * 100_000)]),
        ("/v1/ws", [(f"X-{n}", "x" * 20) for n in range(2000)]),
    ],
    ids=["long line", "very long line", "long header", "very long header", "many headers"],
)
async def test_a_handshake_that_is_too_long_is_answered_at_once(
    hub: HubProcess, target: str, headers: list[tuple[str, str]]
) -> None:
    began = time.monotonic()
    said = await answer(hub, handshake(hub.port, target, headers))
    assert said.startswith(b"HTTP/1.1 4"), said
    assert time.monotonic() - began < 0.9


@pytest.mark.parametrize("endless", [b"GET /", b"GET / HTTP/1.1\r\nHost: x\r\nCookie: ", b"GET / HTTP/1.1\r\n"])
async def test_an_endless_request_is_cut_off(hub: HubProcess, endless: bytes) -> None:
    piece = b"a: b\r\n" * 10_000 if endless.endswith(b"\n") else b"a" * 60_000
    before = resident(hub.pid)
    said = await answer(hub, endless, *[piece] * 500)
    assert said == b"" or said.startswith(b"HTTP/1.1 431 "), said
    assert resident(hub.pid) - before < 10 * MEBIBYTE


async def test_a_long_head_gets_a_problem(hub: HubProcess) -> None:
    said = await answer(hub, b"GET /v1/me HTTP/1.1\r\nHost: x\r\nCookie: " + b"x" * 70_000 + b"\r\n\r\n")
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert b"application/problem+json" in head
    assert json.loads(body)["code"] == "head_too_large"


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"G",
        b"GET /v1/ws HTTP/1.1\r\nUpgrade: websocket\r\n",
        b"POST /v1/events HTTP/1.1\r\nContent-Length: 9\r\n\r\n{",
    ],
    ids=["nothing", "one letter", "half a handshake", "half a body"],
)
async def test_a_request_that_does_not_go_on_is_given_up(hub: HubProcess, begun: bytes) -> None:
    await answer(hub, begun, within=5)


async def test_a_trickle_is_given_up(hub: HubProcess) -> None:
    """A letter now and then, to hold a connection for ever."""
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    writer.write(b"GET /")
    end = asyncio.create_task(reader.read())
    async with asyncio.timeout(5):
        while not (await asyncio.wait({end}, timeout=0.2))[0]:
            writer.write(b"a")
    writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        assert await end == b""


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"\x00" * 1000,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"GET /v1/ws?topics=\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_garbage_is_answered_with_an_error(hub: HubProcess, garbage: bytes) -> None:
    said = await answer(hub, garbage)
    assert said.startswith(b"HTTP/1.1 4"), said


@pytest.mark.parametrize("version", ["", "12", "x"])
async def test_another_version_of_the_protocol_is_refused(hub: HubProcess, version: str) -> None:
    request = handshake(hub.port, "/v1/ws").replace(b"Version: 13", b"Version: " + version.encode())
    assert (await answer(hub, request)).startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize(
    "path", ["/nowhere", "/", "/v1/events", "/healthz", "/client/x", "/console/x", "/docs/assets/x"]
)
async def test_no_other_path_is_a_socket(hub: HubProcess, alice: str, path: str) -> None:
    said = await answer(hub, handshake(hub.port, f"{path}?token={alice}"))
    # As if no upgrade had been asked for (RFC 9110, 7.8), and nothing more on this connection.
    assert said.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 404 ", b"HTTP/1.1 401 ")), said
    assert b"\r\nconnection: close\r\n" in said


@pytest.mark.parametrize("path", ["/v1/events", "/v1/users", "/v1/auth/login"])
async def test_an_upload_that_breaks_off_is_no_news(hub: HubProcess, path: str) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n"
    authorization = "".join(f"{name}: {value}\r\n" for name, value in hub.admin_headers().items())
    writer.write(f"{head}{authorization}\r\n{{".encode())
    await writer.drain()
    writer.transport.abort()
    # The fixture looks for a traceback in the log.
    await eventually(lambda: hub.metrics()["hub_tasks"], lambda tasks: tasks == hub.metrics()["hub_tasks"])


@pytest.mark.parametrize("path", ["/v1/events", "/v1/users", "/v1/auth/login"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_413(hub: HubProcess, path: str, chunked: bool) -> None:
    # Only those who publish have much to say; what others say is read before the hub knows who they are.
    limit = MEBIBYTE if path == "/v1/events" else 65536
    body = b'"' + b"x" * limit + b'"'
    content = (body[start : start + 65536] for start in range(0, len(body), 65536)) if chunked else body
    headers = hub.admin_headers() | {"Content-Type": "application/json"}
    response = await asyncio.to_thread(hub.http.post, path, content=content, headers=headers)
    assert (response.status_code, response.json()["code"]) == (413, "request_too_large")


# --- After it


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ([frame(TEXT, b"\xff\xfe")], 1007),
        ([frame(TEXT, b'{"type":"ping","ref":"\xc3'), frame(CONT, b'\x28"}')], 1007),
        ([frame(TEXT, b'"\xed\xa0\x80"')], 1007),
        ([frame(TEXT, b"x" * 65537)], 1009),
        ([frame(TEXT, b"x" * 40_000, fin=False), frame(CONT, b"x" * 40_000)], 1009),
        ([bytes([0x81, 0xFF]) + (1 << 62).to_bytes(8, "big") + bytes(4)], 1009),
        ([bytes([0x81, 2]) + b"{}"], 1002),
        ([frame(3, b"{}")], 1002),
        ([frame(CONT, b"{}")], 1002),
        ([frame(TEXT, b"{", fin=False), frame(TEXT, b"}")], 1002),
        ([frame(PING, b"x" * 126)], 1002),
        ([frame(PING, b"", fin=False)], 1002),
        ([bytes([0xC1, 0x82]) + bytes(4) + b"{}"], 1002),
        ([close_frame(1005)], 1002),
        ([close_frame(99)], 1002),
        ([frame(CLOSE, b"x")], 1002),
    ],
)
async def test_what_breaks_the_protocol_ends_the_connection(
    hub: HubProcess, alice: str, sent: list[bytes], code: int
) -> None:
    socket = await welcomed(hub, alice)
    for piece in sent:
        socket.writer.write(piece)
    async with asyncio.timeout(5):
        assert (await socket.end())[0] == code


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
async def test_a_goodbye_is_answered_in_kind(hub: HubProcess, alice: str, code: int) -> None:
    socket = await welcomed(hub, alice)
    socket.writer.write(close_frame(code))
    async with asyncio.timeout(5):
        assert await socket.end() == (code, "")


async def test_a_goodbye_may_come_in_the_middle_of_a_message(hub: HubProcess, alice: str) -> None:
    socket = await welcomed(hub, alice)
    socket.writer.write(frame(TEXT, b"{", fin=False) + close_frame(1000) + frame(CONT, b"}"))
    async with asyncio.timeout(5):
        assert await socket.end() == (1000, "")


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("", None),
        ("null", None),
        ("[]", None),
        ("{}", None),
        ("{", None),
        ('{"ref":7}', 7),
        ('{"type":"dance","ref":"r1"}', "r1"),
        ('{"type":"ping"}', None),
        ('{"type":"ping","ref":null}', None),
        ('{"type":"ping","ref":true}', None),
        ('{"type":"ping","ref":1.5}', None),
        ('{"type":"ping","ref":"' + "r" * 65 + '"}', None),
        ('{"type":"ping","ref":' + "9" * 5000 + "}", None),
        ('{"type":"dance","ref":' + "9" * 5000 + "}", None),
        ('{"type":"ping","ref":' + "[" * 30_000 + "]" * 30_000 + "}", None),
        ("[" * 60_000, None),
        ('{"type":"ping","ref":"\\ud800"}', None),
        ('{"type":"subscribe","ref":1,"topics":[]}', 1),
        ('{"type":"subscribe","ref":1,"topics":"orders:1"}', 1),
        ('{"type":"unsubscribe","ref":1,"topics":["' + "x" * 201 + '"]}', 1),
        ('{"type":"publish","ref":1,"event":{"type":"x"}}', 1),
        ('{"type":"publish","ref":1,"event":{"type":"x","to":{},"surprise":1}}', 1),
        ('{"type":"ack"}', None),
        ('{"type":"auth","ref":1}', 1),
    ],
)
async def test_a_frame_that_is_not_well_formed_gets_an_error(
    hub: HubProcess, alice: str, text: str, ref: str | int | None
) -> None:
    socket = await welcomed(hub, alice)
    socket.send(TEXT, text.encode())
    said = await socket.json()
    assert (said["type"], said["ref"], said["code"]) == ("error", ref, "frame_invalid")
    assert len(said["detail"]) < 300
    socket.say(type="ping", ref="still here")
    assert (await socket.json()) == {"type": "ok", "ref": "still here"}
    socket.cut()


async def test_a_binary_frame_gets_an_error(hub: HubProcess, alice: str) -> None:
    socket = await welcomed(hub, alice)
    socket.send(BINARY, b'{"type":"ping","ref":1}')
    said = await socket.json()
    assert (said["type"], said["ref"], said["code"]) == ("error", None, "frame_invalid")
    socket.say(type="ping", ref=2)
    assert (await socket.json())["type"] == "ok"
    socket.cut()


async def test_the_largest_frame_is_taken_and_in_any_pieces(hub: HubProcess, alice: str) -> None:
    socket = await welcomed(hub, alice)
    largest = json.dumps({"type": "ping", "ref": 1, "padding": ""}).encode()
    largest = largest.replace(b'""', b'"' + b"x" * (65536 - len(largest)) + b'"')
    socket.send(TEXT, largest)
    assert (await socket.json())["ref"] == 1
    for start in range(0, 65536, 4096):
        end = start + 4096
        socket.writer.write(frame(CONT if start else TEXT, largest[start:end], fin=end == 65536))
        socket.send(PING, b"between")
    seen = [await socket.receive() for _ in range(17)]
    assert seen.count((PONG, b"between")) == 16
    assert [json.loads(payload)["ref"] for opcode, payload in seen if opcode == TEXT] == [1]
    socket.cut()
