"""Publishing before ASGI: byte for byte what the app's route answers, in order, whatever comes in whatever pieces."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import socket
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar, NamedTuple

import pytest

from tests.hub_process import HubProcess

from .gauges import MEBIBYTE, eventually, resident
from .inside import Inside, until
from .raw import raise_file_limit

pytestmark = pytest.mark.anyio

ORIGIN = "https://app.example.com"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """One hub for the module. In the end its log has no traceback, and no task is left."""
    raise_file_limit()
    hub = HubProcess(
        tmp_path_factory.mktemp("direct"),
        ping_interval=2,
        max_request_bytes=4 * MEBIBYTE,
        allowed_origins=ORIGIN,
        publish_events_user=0,
        publish_bytes_user=0,
    )
    try:
        hub.start().add_user("alice", subscribe=["orders:*"], publish=["orders:*"])
        yield hub
        assert hub.stop() == 0
        assert "Traceback" not in hub.log()
        assert " ERROR " not in hub.log()
    finally:
        hub.close()


@pytest.fixture(scope="module")
def alice(hub: HubProcess) -> str:
    return hub.token("alice")


def event(**fields: Any) -> dict[str, Any]:
    return {"type": "t", "data": 1, "to": {"topics": ["orders:1"]}} | fields


def post(
    token: str | None,
    body: Any,
    *headers: str,
    target: str = "/v1/events",
    version: str = "1.1",
    length: bool = True,
) -> bytes:
    """A publish as it goes over the wire. ``body``: bytes, or what becomes JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"POST {target} HTTP/{version}", "Host: hub", "Content-Type: application/json", *headers]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if length:
        lines.append(f"Content-Length: {len(data)}")
    return "\r\n".join([*lines, "", ""]).encode() + data


class Answer(NamedTuple):
    status: int
    headers: list[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        found = [line.partition(": ")[2] for line in self.headers if line.lower().startswith(f"{name}:")]
        assert len(found) < 2
        return found[0] if found else None


class Client:
    """One HTTP connection that is written and read by hand."""

    open: ClassVar[list[Client]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.open.append(self)

    @classmethod
    async def connect(cls, hub: HubProcess, receive_buffer: int | None = None) -> Client:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", hub.port))
        return cls(*await asyncio.open_connection(sock=sock, limit=receive_buffer or 65536))

    async def answer(self) -> Answer:
        """The next answer."""
        async with asyncio.timeout(10):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
            length = next((int(line.split(":")[1]) for line in head if line.lower().startswith("content-length:")), 0)
            return Answer(int(head[0].split()[1]), head[1:], await self.reader.readexactly(length))

    async def ask(self, *pieces: bytes) -> Answer:
        for piece in pieces:
            self.writer.write(piece)
        return await self.answer()

    async def is_over(self, within: float = 5) -> bool:
        """Whether the hub ends the connection, with nothing more said."""
        try:
            async with asyncio.timeout(within):
                return await self.reader.read() == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        finally:
            self.cut()

    def cut(self) -> None:
        self.writer.transport.abort()


@pytest.fixture(autouse=True)
async def no_client_is_left() -> AsyncIterator[None]:
    yield
    while Client.open:
        Client.open.pop().cut()


@pytest.fixture
async def client(hub: HubProcess) -> Client:
    return await Client.connect(hub)


async def barrier(hub: HubProcess, other: Client) -> None:
    """What was sent before this was read by the hub: its one thread has been around its loop."""
    assert (await other.ask(b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n")).status == 200


def compared(answer: Answer) -> tuple[int, list[str], bytes]:
    """All but the date, and the "vary" of those who allow other origins: no cache keeps the answer to a POST."""
    return answer.status, sorted(h for h in answer.headers if not h.startswith(("date: ", "vary: "))), answer.body


# --- The same as the app's route


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (event(id="same"), [], 200),
        ([event(id="same-1"), event(id="same-2", durable=True)], [], 200),
        (event(id="same", data="other"), [], 409),
        (b"", [], 422),
        (b"{", [], 422),
        ([], [], 422),
        (b" \r\n\t[]", [], 422),
        (event(surprise=1), [], 422),
        ([event(), event(type="")], [], 422),
        (event(to={"topics": ["not a topic"]}), [], 422),
        (event(to={"topics": ["private"]}), [], 403),
        ([event(), event(to={"all": True})], [], 403),
        (event(exclude=["x"]), [], 422),
        (event(data="x" * 70_000), [], 413),
        (event(), ["Authorization: Bearer nonsense"], 401),
        (event(), ["Authorization: Basic YTpi"], 401),
        (event(), ["Authorization: "], 401),
        (event(), [], 401),
        (event(), ["Authorization: Bearer a", "Authorization: Bearer b"], 400),
        (event(), ["Authorization: Bearer \xe9"], 401),
    ],
)
async def test_it_answers_what_the_route_answers(
    client: Client, alice: str, body: Any, headers: list[str], status: int
) -> None:
    """``?x=1`` takes the way through the app. A first call makes duplicates of the two that are compared."""
    token = None if status == 401 or status == 400 else alice
    if status == 200:
        await client.ask(post(token, body))
    direct = await client.ask(post(token, body, *headers))
    app = await client.ask(post(token, body, *headers, target="/v1/events?x=1"))
    assert direct.status == status
    assert compared(direct) == compared(app)
    assert direct.header("date") is not None
    assert direct.header("content-type") == ("application/json" if status == 200 else "application/problem+json")
    for name in ("content-security-policy", "x-content-type-options", "referrer-policy", "cross-origin-opener-policy"):
        assert direct.header(name), name


async def test_receipts(client: Client, alice: str) -> None:
    one = await client.ask(post(alice, event(id="r-1")))
    assert (one.json["id"], one.json["duplicate"]) == ("r-1", False)
    again = await client.ask(post(alice, event(id="r-1")))
    assert again.json == one.json | {"duplicate": True}
    passing = await client.ask(post(alice, event(durable=False)))
    assert passing.json["cursor"] is None
    many = await client.ask(post(alice, [event(id="r-2"), event(id="r-3", durable=False), event(id="r-4")]))
    assert [(receipt["id"], receipt["cursor"] is None) for receipt in many.json] == [
        ("r-2", False), ("r-3", True), ("r-4", False),
    ]  # fmt: skip


async def test_a_page_of_another_origin_may_publish(client: Client, alice: str) -> None:
    said = await client.ask(post(alice, event(), f"Origin: {ORIGIN}"))
    assert (said.status, said.header("access-control-allow-origin")) == (200, ORIGIN)
    said = await client.ask(post(None, event(), f"Origin: {ORIGIN}"))
    assert (said.status, said.header("access-control-allow-origin")) == (401, ORIGIN)
    said = await client.ask(post(alice, event(), "Origin: https://evil.example"))
    assert said.header("access-control-allow-origin") is None


# --- Order, and pieces


def mixed(token: str, count: int, seed: int) -> tuple[list[bytes], list[tuple[int, str | None]]]:
    """Requests of all kinds, and of each the status and id that its answer has."""
    choose = random.Random(seed)
    requests: list[bytes] = []
    due: list[tuple[int, str | None]] = []
    for n in range(count):
        name = f"mix-{seed}-{n}"
        kind = choose.choice(["passing", "durable", "app", "get", "refused", "bad", "long"])
        match kind:
            case "passing" | "durable":
                requests.append(post(token, event(id=name, durable=kind == "durable")))
            case "app":
                requests.append(post(token, event(id=name), target="/v1/events?x=1"))
            case "get":
                requests.append(b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n")
            case "refused":
                requests.append(post("nonsense", event(id=name)))
            case "bad":
                requests.append(post(token, b"{"))
            case "long":
                requests.append(post(token, event(id=name, data="x" * choose.randrange(20_000))))
        status = {"refused": 401, "bad": 422}.get(kind, 200)
        due.append((status, name if status == 200 and kind != "get" else None))
    return requests, due


def found(answer: Answer) -> tuple[int, str | None]:
    return answer.status, answer.json.get("id") if answer.body[:1] == b"{" else None


@pytest.mark.parametrize("piece", [None, 1, 7, 1000, 65536])
async def test_answers_come_in_the_order_of_the_requests(client: Client, alice: str, piece: int | None) -> None:
    count = 15 if piece == 1 else 120
    requests, due = mixed(alice, count, piece or 0)
    sent = b"".join(requests)

    async def send() -> None:
        for start in range(0, len(sent), piece or len(sent)):
            client.writer.write(sent[start : start + (piece or len(sent))])
            await client.writer.drain()
            if piece is not None and piece < 1000:
                await asyncio.sleep(0)

    sending = asyncio.create_task(send())
    assert [found(await client.answer()) for _ in requests] == due
    await sending


async def test_a_head_is_not_long_because_of_what_came_with_it(hub: HubProcess, client: Client, alice: str) -> None:
    other = await Client.connect(hub)
    request = post(alice, event(durable=False))
    count = 100  # More bytes than a head may have.
    client.writer.write(request * count + request[:200])
    await barrier(hub, other)
    client.writer.write(request[200:])
    assert [(await client.answer()).status for _ in range(count + 1)] == [200] * (count + 1)


async def test_a_request_may_come_in_two_pieces_wherever_they_part(hub: HubProcess, client: Client, alice: str) -> None:
    other = await Client.connect(hub)
    request = post(alice, event(id="parted", data="\u00e4" * 5))
    # The token is long, and a part in it like any other.
    head = request.index(b"Authorization")
    for cut in (*range(1, head + 30), *range(request.index(b"Content-Length"), len(request))):
        client.writer.write(request[:cut])
        await barrier(hub, other)
        assert found(await client.ask(request[cut:])) == (200, "parted")


@pytest.mark.parametrize("expect", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
async def test_what_is_unusual_is_taken_all_the_same(client: Client, alice: str, expect: bool, chunked: bool) -> None:
    headers = ["Expect: 100-continue"] * expect + ["Transfer-Encoding: chunked"] * chunked
    body = json.dumps(event(id=f"unusual-{expect}-{chunked}")).encode()
    request = post(alice, body, *headers, length=not chunked)
    head = request[: -len(body)]
    client.writer.write(head)
    if expect:
        assert (await client.answer()).status == 100
    pieces = [b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:5], body[5:])] + [b"0\r\n\r\n"]
    said = await client.ask(*(pieces if chunked else [body]))
    assert found(said) == (200, f"unusual-{expect}-{chunked}")
    assert (await client.ask(post(alice, event(durable=False)))).status == 200, "the connection goes on"


# --- When it ends


async def test_a_connection_is_kept(client: Client, alice: str) -> None:
    for status, token in ((200, alice), (401, None), (200, alice)):
        said = await client.ask(post(token, event(durable=False)))
        assert (said.status, said.header("connection")) == (status, None)


@pytest.mark.parametrize(
    ("version", "headers"),
    [("1.1", ["Connection: close"]), ("1.0", []), ("1.0", ["Connection: keep-alive"]), ("1.1", ["Connection: Close"])],
)
@pytest.mark.parametrize("kind", ["durable", "passing", "refused", "bad"])
async def test_the_last_answer_is_the_last(
    hub: HubProcess, client: Client, alice: str, version: str, headers: list[str], kind: str
) -> None:
    body: Any = b"{" if kind == "bad" else event(durable=kind == "durable")
    token = None if kind == "refused" else alice
    late = f"late-{version}-{'-'.join(headers)}-{kind}".replace(" ", "")
    # What stands behind it was not asked (RFC 9112, 9.6).
    said = await client.ask(post(token, body, *headers, version=version) + post(alice, event(id=late)))
    assert said.status == {"refused": 401, "bad": 422}.get(kind, 200)
    assert said.header("connection") == "close"
    assert await client.is_over()
    again = await Client.connect(hub)
    assert (await again.ask(post(alice, event(id=late)))).json["duplicate"] is False


@pytest.mark.parametrize("kind", ["durable", "app"])
async def test_garbage_behind_a_publish_does_not_take_its_place(client: Client, alice: str, kind: str) -> None:
    """Its answer would be read as that of the publish."""
    target = "/v1/events?x=1" if kind == "app" else "/v1/events"
    said = await client.ask(post(alice, event(id=f"before-garbage-{kind}"), target=target) + b"\x00 garbage\r\n\r\n")
    assert found(said) == (200, f"before-garbage-{kind}")
    assert await client.is_over()


async def test_garbage_behind_an_answered_publish_is_told(client: Client, alice: str) -> None:
    said = await client.ask(post(alice, event(durable=False)) + b"\x00 garbage\r\n\r\n")
    assert said.status == 200
    assert (await client.answer()).json["code"] == "http_invalid"
    assert await client.is_over()


async def test_a_stranger_is_told_before_the_body(hub: HubProcess, client: Client, alice: str) -> None:
    body = b"x" * (4 * MEBIBYTE)
    request = post("nonsense", body)
    before = resident(hub.pid)
    said = await client.ask(request[: -len(body)])
    assert (said.status, said.json["code"]) == (401, "token_malformed")
    # What comes all the same is thrown away, and the connection goes on.
    client.writer.write(body[:-1])
    await client.writer.drain()
    other = await Client.connect(hub)
    await barrier(hub, other)
    assert resident(hub.pid) - before < 2 * MEBIBYTE
    assert (await client.ask(body[-1:] + post(alice, event(durable=False)))).status == 200


async def test_a_stranger_may_not_go_on_for_ever(hub: HubProcess, client: Client) -> None:
    """The body is not waited for as long as it comes, once it is refused."""
    said = await client.ask(post("nonsense", b"x" * MEBIBYTE)[:-MEBIBYTE])
    assert said.status == 401
    end = asyncio.create_task(client.is_over(8))
    while not end.done():
        client.writer.write(b"x")
        await asyncio.wait({end}, timeout=0.1)
    assert end.result()


async def test_a_large_body_is_taken_and_a_larger_one_refused(client: Client, alice: str) -> None:
    room = 4 * MEBIBYTE
    events = [event(durable=False, data="x" * 4000)] * 1000
    body = json.dumps(events).encode()
    body += b" " * (room - len(body))
    assert len((await client.ask(post(alice, body))).json) == 1000
    request = post(alice, body + b" ")
    said = await client.ask(request[: -len(body)])
    assert (said.status, said.json["code"]) == (413, "request_too_large")


async def test_those_who_go_leave_nothing_but_what_they_published(hub: HubProcess, alice: str) -> None:
    ids = [f"gone-{n}" for n in range(100)]
    client = await Client.connect(hub)
    for n, name in enumerate(ids):
        leaver = await Client.connect(hub)
        leaver.writer.write(post(alice, event(id=name, to={"topics": ["orders:gone"]})) * (1 + n % 3))
        # Some go before it is read, some while it is written to disk.
        if n % 2:
            await barrier(hub, client)
        leaver.cut()
    said = await client.ask(post(alice, [event(id=name, to={"topics": ["orders:gone"]}) for name in ids]))
    assert said.status == 200
    log = (await asyncio.to_thread(hub.call, "GET", "/v1/events?topics=orders:gone&limit=1000"))["events"]
    assert sorted(one["event"]["id"] for one in log) == sorted(ids), "each once"


# --- Those who do not read


async def flood(client: Client, request: bytes, most: int) -> int:
    """Write without reading until it does not go on for a second; the bytes that went."""
    written = 0
    with contextlib.suppress(TimeoutError, ConnectionError):
        while written < most:
            client.writer.write(request)
            written += len(request)
            async with asyncio.timeout(1):
                await client.writer.drain()
    return written


@pytest.mark.parametrize("kind", ["passing", "refused", "bad", "durable"])
async def test_one_who_does_not_read_is_not_read_and_in_the_end_given_up(
    hub: HubProcess, alice: str, kind: str
) -> None:
    client = await Client.connect(hub, receive_buffer=4096)
    token, body = (None if kind == "refused" else alice), (b"{" if kind == "bad" else event(durable=kind == "durable"))
    before = resident(hub.pid)
    most = 30 * MEBIBYTE
    assert await flood(client, post(token, body) * 50, most) < most
    assert resident(hub.pid) - before < 8 * MEBIBYTE
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        async with asyncio.timeout(10):
            while client.writer.transport.get_write_buffer_size():
                await asyncio.sleep(0.05)
    assert client.writer.transport.is_closing()


async def test_requests_that_wait_are_bounded(client: Client) -> None:
    """The last ones are not answered; their client, who is none that anybody knows, asks again."""
    client.writer.write(b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n" * 2000)
    answers = 0
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while (await client.answer()).status == 200:
            answers += 1
    assert 500 < answers < 2000


@pytest.mark.parametrize("size", [0, 1500])
async def test_one_who_reads_late_gets_all_answers(hub: HubProcess, alice: str, size: int) -> None:
    """Wherever in a request the hub had stopped to read."""
    client = await Client.connect(hub, receive_buffer=4096)
    count = 8_000_000 // (1000 + size)
    requests = [post(alice, event(id=f"late-{n}", durable=False, data="x" * size)) for n in range(count)]

    async def send() -> None:
        for request in requests:
            client.writer.write(request)
            await client.writer.drain()

    sending = asyncio.create_task(send())
    # It cannot go on: answers wait.
    await eventually(lambda: client.writer.transport.get_write_buffer_size(), lambda waiting: waiting > 50_000)
    assert not sending.done()
    for n in range(count):
        assert found(await client.answer()) == (200, f"late-{n}")
    await sending


async def test_one_whose_body_waits_for_its_answers_is_read_on(inside: Inside) -> None:
    """The hub stopped to read it in the middle of a body; nothing but the reading of the answers makes it go on."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", inside.port))
    client = Client(*await asyncio.open_connection(sock=sock, limit=4096))
    await until(lambda: bool(inside.http()))
    [protocol] = inside.http()
    kernel = socket.socket(fileno=os.dup(protocol.transport.get_extra_info("socket").fileno()))
    kernel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    kernel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    # All in one read: what is answered fills the transport, and the last one is not whole.
    count = 300
    request = post("good", event(durable=False))
    protocol.transport.pause_reading()
    client.writer.write(request * count + request[:-1])
    waiting = len(request) * (count + 1) - 1
    assert waiting < 256 * 1024
    with kernel:
        await client.writer.drain()
        await until(lambda: len(kernel.recv(waiting, socket.MSG_PEEK)) == waiting)
    protocol.transport.resume_reading()
    await until(lambda: protocol.flow.write_paused)
    assert protocol.cycle.more_body
    assert protocol.flow.read_paused
    answers = [(await client.answer()).status for _ in range(count)]
    assert [*answers, (await client.ask(request[-1:])).status] == [200] * (count + 1)


async def test_a_body_that_is_not_read_is_not_waited_for(client: Client, alice: str) -> None:
    """It stands behind a long poll, and is not late because of that."""
    poll = f"GET /v1/events?wait=3&topics=orders:none HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {alice}\r\n\r\n"
    request = post(alice, event(id="behind-a-poll"))
    assert (await client.ask(poll.encode() + request[:-1])).status == 200
    assert found(await client.ask(request[-1:])) == (200, "behind-a-poll")


async def test_who_is_idle_is_let_go(hub: HubProcess, alice: str) -> None:
    async def after(*requests: bytes) -> float:
        client = await Client.connect(hub)
        for request in requests:
            await client.ask(request)
        began = time.monotonic()
        assert await client.is_over(15)
        return time.monotonic() - began

    passing = post(alice, event(durable=False))
    lasted = await asyncio.gather(
        after(passing),
        after(post(alice, event())),
        after(post(None, event())),
        after(post(alice, b"{")),
        after(passing, b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n"),
        after(b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n", passing),
    )
    assert all(4 < each < 9 for each in lasted), lasted
