"""Compressed frames (RFC 7692), where a hub is told to: agreed on, packed once for all, and read back.

The bomb in one frame is in test_attacks, what Chromium makes of it in tests/browser.
"""

from __future__ import annotations

import asyncio
import json
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame as ReferenceFrame
from websockets.protocol import CLIENT
from websockets.protocol import Protocol as ReferenceProtocol

from hub.model import Entry, Topic
from hub.wire import Chunk, Frame
from tests.hub_process import HubProcess

from .gauges import MEBIBYTE, eventually, resident
from .inside import Inside
from .raw import CONT, TEXT, RawSocket, frame, handshake

pytestmark = pytest.mark.anyio

OFFER = "Sec-WebSocket-Extensions"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    hub = HubProcess(tmp_path_factory.mktemp("packed"), compression=True)
    try:
        hub.start().add_user("alice", subscribe=["orders:*"], publish=["orders:*"])
        yield hub
        assert "Traceback" not in hub.log()
    finally:
        hub.close()


def dial(hub: HubProcess, token: str, **options: Any) -> Any:
    return connect(f"{hub.ws_url}?token={token}&topics=orders:1", proxy=None, **options)


async def agreed(port: int, token: str, *offers: str) -> str | None:
    """What the hub answers to these offers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(handshake(port, f"/v1/ws?token={token}", [(OFFER, offer) for offer in offers]))
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    writer.transport.abort()
    assert " 101 " in head[0]
    return next((line.partition(": ")[2] for line in head if line.startswith(OFFER)), None)


def packed(text: bytes, *, pieces: int = 1) -> bytes:
    """A client's message, compressed, in so many frames."""
    packer = zlib.compressobj(wbits=-15)
    data = (packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
    size = -(-len(data) // pieces)
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    frames = [frame(CONT if n else TEXT, part, fin=n == len(parts) - 1) for n, part in enumerate(parts)]
    return b"".join([bytes([frames[0][0] | 0x40]) + frames[0][1:], *frames[1:]])


def unpacked(data: bytes) -> list[bytes]:
    """What a client that agreed to it reads."""
    peer = ReferenceProtocol(CLIENT, max_size=None)
    peer.extensions = [PerMessageDeflate(True, True, 15, 15)]
    peer.receive_data(data)
    return [bytes(event.data) for event in peer.events_received() if isinstance(event, ReferenceFrame)]


# --- The frames


@given(st.lists(st.text(max_size=3).map(lambda text: text * 300) | st.text(), min_size=1))
def test_what_is_packed_is_what_was_said(texts: list[str]) -> None:
    items = [(n, 0, Frame(text.encode())) for n, text in enumerate(texts)]
    assert unpacked(Chunk(items).deflated) == [text.encode() for text in texts]
    assert unpacked(b"".join(one.deflated for _, _, one in items)) == [text.encode() for text in texts]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 129, 65535, 65536, 200_000])
@pytest.mark.parametrize("dense", [False, True])
def test_any_length(size: int, dense: bool) -> None:
    json = random.Random(size).randbytes(size) if dense else b"x" * size
    one = Frame(json)
    assert unpacked(one.deflated) == [json]
    # A short one is sent as it is.
    assert (one.deflated == one.websocket) is (size < 128)
    if not dense and size >= 128:
        assert len(one.deflated) < len(one.websocket) / 4
    assert not one.deflated.endswith(b"\x00\x00\xff\xff"), "which goes without saying (RFC 7692, 7.2.1)"
    assert one.deflated is one.deflated
    both = Chunk([(1, 0, one), (2, 0, one)])
    assert both.deflated is both.deflated


# --- What is agreed to


async def test_it_is_off_by_default(shared_hub: HubProcess) -> None:
    token = shared_hub.add_user("alice")
    assert await agreed(shared_hub.port, token, "permessage-deflate; client_max_window_bits") is None
    async with connect(f"{shared_hub.ws_url}?token={token}", proxy=None) as socket:
        assert socket.protocol.extensions == []
        assert json.loads(await socket.recv())["type"] == "welcome"


ALONE = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


@pytest.mark.parametrize(
    ("offers", "answer"),
    [
        (["permessage-deflate"], ALONE),
        (["permessage-deflate; client_max_window_bits"], ALONE),
        (["permessage-deflate; client_max_window_bits=10"], ALONE),
        (["permessage-deflate; server_no_context_takeover; client_no_context_takeover"], ALONE),
        (["x-nonsense, permessage-deflate"], ALONE),
        (["x-nonsense", "permessage-deflate"], ALONE),
        # A window of its own would need frames of its own.
        (["permessage-deflate; server_max_window_bits=10"], None),
        (["permessage-deflate; server_max_window_bits=15"], None),
        (["permessage-deflate; server_max_window_bits=10, permessage-deflate"], ALONE),
        (["permessage-deflate; nonsense"], None),
        (["permessage-deflate; client_max_window_bits=7"], None),
        (["permessage-deflate; server_no_context_takeover=1"], None),
        (["x-nonsense"], None),
        (["x-webkit-deflate-frame"], None),
        ([], None),
    ],
)
async def test_offers(hub: HubProcess, alice: str, offers: list[str], answer: str | None) -> None:
    said = await agreed(hub.port, alice, *offers)
    # The window that a client may use is its own affair.
    assert (said and said.partition("; client_max_window_bits")[0]) == answer


async def test_an_offer_that_cannot_be_read_is_refused(hub: HubProcess, alice: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    writer.write(handshake(hub.port, f"/v1/ws?token={alice}", [(OFFER, "permessage-deflate;;=")]))
    assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.transport.abort()


# --- On the wire


async def heard(socket: ClientConnection, count: int) -> list[dict[str, Any]]:
    """The next so many events."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            said = json.loads(await socket.recv())
            if said["type"] == "event":
                found.append(said)
    return found


async def test_those_who_want_it_and_those_who_do_not_get_the_same(hub: HubProcess, alice: str) -> None:
    async with dial(hub, alice) as packing, dial(hub, alice, compression=None) as plain:
        [extension] = packing.protocol.extensions
        assert isinstance(extension, PerMessageDeflate)
        assert (extension.local_no_context_takeover, extension.remote_no_context_takeover) == (True, True)
        assert plain.protocol.extensions == []
        for socket in (packing, plain):
            assert json.loads(await socket.recv())["type"] == "welcome"
        events = [
            {"type": "t", "data": data, "to": {"topics": ["orders:1"]}, "durable": durable}
            for durable in (True, False)
            for data in ("", "x" * 300, "\u00e4\U0001f600" * 100, list(range(5000)), "y" * 60_000)
        ]
        # One by one, and all of them in one frame of many.
        for batch in ([event] for event in events):
            await asyncio.to_thread(hub.call, "POST", "/v1/events", json=batch)
        await asyncio.to_thread(hub.call, "POST", "/v1/events", json=events)
        got = await heard(packing, 2 * len(events))
        assert got == await heard(plain, 2 * len(events))
        assert [one["event"]["data"] for one in got[: len(events)]] == [event["data"] for event in events]
        # And what it says itself.
        for ref in (1, "r" * 60):
            await packing.send(json.dumps({"type": "ping", "ref": ref, "padding": "z" * 5000}))
            assert json.loads(await packing.recv())["ref"] == ref


async def test_a_client_that_resumes_gets_it_packed(hub: HubProcess, alice: str) -> None:
    data = ["x" * 1000, "short"] * 5
    events = [{"type": "t", "data": one, "to": {"topics": ["orders:later"]}} for one in data]
    await asyncio.to_thread(hub.call, "POST", "/v1/events", json=events)
    url = f"{hub.ws_url}?token={alice}&topics=orders:later&after=earliest"
    async with connect(url, proxy=None) as socket:
        got = [one for one in await heard(socket, 10) if one["topic"] == "orders:later"]
        while len(got) < 10:
            got += await heard(socket, 1)
        assert [one["event"]["data"] for one in got if one["topic"] == "orders:later"][:10] == data


async def test_an_event_is_packed_once_for_all(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    inside.direct = replace(inside.direct, compression=True)
    packing = [
        await RawSocket.connect(inside.port, token="good", topics="news", headers=[(OFFER, "permessage-deflate")])
        for _ in range(5)
    ]
    plain = await RawSocket.connect(inside.port, token="good", topics="news")
    for socket in (*packing, plain):
        await socket.receive()
    made = 0
    compressobj = zlib.compressobj

    def counting(*args: Any, **more: Any) -> Any:
        nonlocal made
        made += 1
        return compressobj(*args, **more)

    monkeypatch.setattr("zlib.compressobj", counting)
    entries = [Entry(seq, (Topic("news"),), b'{"data":"%b"}' % (b"x" * 500)) for seq in (1, 2, 3)]
    inside.hub.deliver(entries)
    texts = [[(await plain.receive())[1] for _ in entries]]
    for socket in packing:
        data = b""
        for _ in entries:
            first, size = await socket.reader.readexactly(2)
            assert first == 0xC1, "compressed, whole, text"
            assert size < 126
            data += bytes([first, size]) + await socket.reader.readexactly(size)
        texts.append(unpacked(data))
    assert all(one == texts[0] for one in texts)
    assert made == len(entries)


async def short(socket: RawSocket) -> Any:
    """The next frame that is not packed: an answer, mostly, while a welcome is long."""
    while True:
        first, size = await socket.reader.readexactly(2)
        size = size if size < 126 else int.from_bytes(await socket.reader.readexactly(2), "big")
        body = await socket.reader.readexactly(size)
        if first == 0x80 | TEXT:
            return json.loads(body)


@pytest.mark.parametrize("pieces", [1, 2, 7])
async def test_what_a_client_packs_is_read(hub: HubProcess, alice: str, pieces: int) -> None:
    socket = await RawSocket.connect(hub.port, token=alice, headers=[(OFFER, "permessage-deflate")])
    text = json.dumps({"type": "ping", "ref": 1, "padding": "".join(map(str, range(9000)))}).encode()
    request = packed(text, pieces=pieces)
    for start in range(0, len(request), 3000):
        socket.writer.write(request[start : start + 3000])
    # One that is not packed may follow; each says so for itself.
    socket.say(type="ping", ref=2)
    assert [await short(socket), await short(socket)] == [{"type": "ok", "ref": 1}, {"type": "ok", "ref": 2}]


async def test_a_frame_in_pieces_behind_a_packed_one_is_whole(hub: HubProcess, alice: str) -> None:
    """As many bytes of it as the one before was longer than it was on the wire."""
    socket = await RawSocket.connect(hub.port, token=alice, headers=[(OFFER, "permessage-deflate")])
    text = b'{"type":"ping","ref":"%b"}' % (b"r" * 30)
    first = packed(text)
    saved = len(frame(TEXT, text)) - len(first)
    second = frame(TEXT, b'{"type":"ping","ref":2}')
    assert 0 < saved < len(second)
    socket.writer.write(first + second[:saved])
    assert (await short(socket))["ref"] == "r" * 30  # By now the hub has read both.
    socket.writer.write(second[saved:])
    async with asyncio.timeout(5):
        assert (await short(socket))["ref"] == 2


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        # 64 KiB are taken, and no byte more, however they come.
        (lambda: packed(b" " * 65537), 1009),
        (lambda: packed(b" " * 65537, pieces=3), 1009),
        (lambda: packed(b" " * (32 * MEBIBYTE), pieces=20), 1009),
        (lambda: bytes([0xC1]) + frame(TEXT, b"\xff" * 50)[1:], 1002),
        (lambda: packed(b"\xff\xfe"), 1007),
    ],
)
async def test_what_is_packed_badly_is_the_end(
    hub: HubProcess, alice: str, sent: Callable[[], bytes], code: int
) -> None:
    socket = await RawSocket.connect(hub.port, token=alice, headers=[(OFFER, "permessage-deflate")])
    data = await asyncio.to_thread(sent)
    before = resident(hub.pid)
    socket.writer.write(data)
    async with asyncio.timeout(5):
        assert (await socket.end(answer=True))[0] == code
    assert resident(hub.pid) - before < 4 * MEBIBYTE
    await eventually(hub.metrics, lambda seen: seen["hub_connections"] == 0)


async def test_the_largest_frame_may_be_packed(hub: HubProcess, alice: str) -> None:
    socket = await RawSocket.connect(hub.port, token=alice, headers=[(OFFER, "permessage-deflate")])
    text = b'{"type":"nonsense"}'
    socket.writer.write(packed(text + b" " * (65536 - len(text))))
    socket.writer.write(packed(text + b" " * (65536 - len(text)), pieces=5))
    errors = 0
    while errors < 2:
        opcode, _ = await socket.receive()
        errors += opcode == TEXT
    socket.cut()
