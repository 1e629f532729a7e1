"""Publishing before ASGI: byte for byte what the app's route answers, in order, whatever comes in whatever pieces.

Those who do not read their answers are in test_unread.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.hub_process import HubProcess

from .conftest import well_behaved
from .gauges import MEBIBYTE, resident
from .http_client import Answer, Client, barrier, event, found, post

pytestmark = pytest.mark.anyio

ORIGIN = "https://app.example.com"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """One hub for the module. In the end its log has no traceback, and no task is left."""
    settings = {"max_request_bytes": 4 * MEBIBYTE, "publish_events_user": 0, "publish_bytes_user": 0}
    with well_behaved(tmp_path_factory.mktemp("direct"), ping_interval=2, allowed_origins=ORIGIN, **settings) as hub:
        yield hub


def compared(answer: Answer) -> tuple[int, list[str], bytes]:
    """All but the date, the "vary" of those who allow other origins (no cache keeps the answer to a POST), and the
    request's id, which one that names none does not get on the short way (docs/logs.md)."""
    apart = ("date: ", "vary: ", "x-request-id: ")
    return answer.status, sorted(h for h in answer.headers if not h.startswith(apart)), answer.body


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
