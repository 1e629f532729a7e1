"""``AsyncPublisher`` on real sockets: what it sends, what it tries again, and what it says when it gives up."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from hub_client import AsyncPublisher, NewEvent, PublishFailed, Refused, Rejected

from .fake_hub import Call, FakeHub, problem

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("leakless")]


def publisher_of(hub: FakeHub, **options: Any) -> AsyncPublisher:
    publisher = AsyncPublisher(hub.url, service_id="shop", service_secret="secret", **options)
    object.__setattr__(publisher._calls.retry, "base", 0.01)
    return publisher


def published(hub: FakeHub) -> list[Any]:
    return [call.json for call in hub.calls if call.path == "/v1/events"]


async def test_publish(hub: FakeHub) -> None:
    async with publisher_of(hub) as publisher:
        receipt = await publisher.publish("x", {"a": "ü"}, users=["alice"], id="mine", ttl=5, exclude=["tab-00000001"])
        made_up = await publisher.publish("x", all=True, durable=False)
    assert (receipt.id, receipt.cursor, receipt.duplicate) == ("mine", "e:mine", False)
    assert made_up.cursor is None
    to = {"users": ["alice"]}
    assert published(hub) == [
        {"id": "mine", "type": "x", "data": {"a": "ü"}, "to": to, "ttl": 5, "exclude": ["tab-00000001"]},
        {"id": made_up.id, "type": "x", "data": None, "to": {"all": True}, "durable": False},
    ]
    assert len(made_up.id) == 32


async def test_one_login_and_one_connection_serve_many_events(hub: FakeHub) -> None:
    async with publisher_of(hub) as publisher:
        for _ in range(5):
            await publisher.publish("x", all=True)
    assert hub.paths().count("/v1/auth/token") == 1
    assert len({call.peer for call in hub.calls}) == 1


@pytest.mark.parametrize(
    "answer",
    [
        problem(429, "too_many_requests"),
        problem(500, "internal"),
        problem(503, "log_unavailable"),
        (502, "<html>Bad Gateway</html>"),
        (504, ""),
        (404, "<html>no such host</html>"),
        (404, {"error": "some other service"}),
        (200, "<html>captive portal</html>"),
    ],
    ids=str,
)
async def test_tried_again_under_the_same_id(hub: FakeHub, answer: Any) -> None:
    async def http(call: Call) -> Any:
        return answer if call.path == "/v1/events" and len(published(hub)) < 3 else None

    hub.on_http = http
    async with publisher_of(hub) as publisher:
        receipt = await publisher.publish("x", all=True)
    assert [body["id"] for body in published(hub)] == [receipt.id] * 3


async def test_a_connection_that_breaks_is_no_error(hub: FakeHub) -> None:
    """The answer is lost: the publisher cannot know, and asks again under the same id."""
    broken = 0

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal broken
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/v1/events" in head and broken < 2:
            broken += 1
            writer.transport.abort()
            return
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", hub.port)
        inner_writer.write(head.replace(b"Host:", b"Connection: close\r\nHost:"))

        async def forward() -> None:
            while data := await reader.read(65536):
                inner_writer.write(data)

        forwarding = asyncio.create_task(forward())
        while data := await inner_reader.read(65536):
            writer.write(data)
        forwarding.cancel()
        await asyncio.wait([forwarding])
        inner_writer.close()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(cut, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        async with AsyncPublisher(f"http://127.0.0.1:{port}", token="t") as publisher:
            receipt = await publisher.publish("x", all=True)
    assert broken == 2
    assert [body["id"] for body in published(hub)] == [receipt.id]


async def test_a_hub_that_is_starting_is_waited_for(leakless: None) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    hub = FakeHub()
    hub.url = f"http://127.0.0.1:{port}"
    async with publisher_of(hub) as publisher:
        publishing = asyncio.create_task(publisher.publish("x", all=True))
        await asyncio.sleep(0.1)
        assert not publishing.done()
        async with hub.run(port):
            await publishing


async def test_retry_after_is_obeyed(hub: FakeHub) -> None:
    times: list[float] = []

    async def http(call: Call) -> Any:
        if call.path != "/v1/events":
            return None
        times.append(asyncio.get_running_loop().time())
        return problem(503, "overloaded", **{"retry-after": "1"}) if len(times) == 1 else None

    hub.on_http = http
    async with publisher_of(hub) as publisher:
        await publisher.publish("x", all=True)
    assert times[1] - times[0] >= 1


async def test_giving_up_names_the_id(hub: FakeHub) -> None:
    async def http(call: Call) -> Any:
        return problem(503, "log_unavailable") if call.path == "/v1/events" else None

    hub.on_http = http
    async with publisher_of(hub, timeout=1) as publisher:
        with pytest.raises(PublishFailed, match="log_unavailable") as caught:
            await publisher.publish("x", all=True)
    assert {body["id"] for body in published(hub)} == {caught.value.id}
    assert caught.value.__cause__ is not None


async def test_a_hub_that_does_not_answer_is_given_up(hub: FakeHub) -> None:
    async def http(call: Call) -> Any:
        if call.path == "/v1/events":
            await asyncio.sleep(0.3)

    hub.on_http = http
    async with publisher_of(hub, timeout=0.2) as publisher:
        with pytest.raises(PublishFailed, match="in time"):
            await publisher.publish("x", all=True)


@pytest.mark.parametrize(("status", "tries"), [(503, 2), (429, 2), (502, 1), (504, 1)])
async def test_an_ephemeral_event_is_repeated_only_if_it_surely_was_not_sent(
    hub: FakeHub, status: int, tries: int
) -> None:
    async def http(call: Call) -> Any:
        return problem(status, "x") if call.path == "/v1/events" and len(published(hub)) == 1 else None

    hub.on_http = http
    async with publisher_of(hub) as publisher:
        sending = publisher.publish("typing", all=True, durable=False)
        if tries == 1:
            with pytest.raises(PublishFailed):
                await sending
        else:
            await sending
    assert len(published(hub)) == tries


async def test_a_verdict_is_raised_at_once(hub: FakeHub) -> None:
    async def http(call: Call) -> Any:
        return problem(409, "id_conflict") if call.path == "/v1/events" else None

    hub.on_http = http
    async with publisher_of(hub) as publisher:
        with pytest.raises(Refused) as caught:
            await publisher.publish("x", all=True)
    assert (caught.value.code, caught.value.status, caught.value.detail) == ("id_conflict", 409, "Words.")
    assert len(published(hub)) == 1


async def test_a_401_earns_one_fresh_token(hub: FakeHub) -> None:
    async def http(call: Call) -> Any:
        return problem(401, "token_expired") if call.path == "/v1/events" and len(published(hub)) in bad else None

    hub.on_http = http
    bad = {1}
    async with publisher_of(hub) as publisher:
        await publisher.publish("x", all=True)
        assert hub.paths() == ["/v1/auth/token", "/v1/events", "/v1/auth/token", "/v1/events"]
        bad = {3, 4}
        with pytest.raises(Refused) as caught:
            await publisher.publish("x", all=True)
        assert caught.value.code == "token_expired"


async def test_a_fixed_token_that_is_refused(hub: FakeHub) -> None:
    async def http(call: Call) -> Any:
        return problem(401, "token_expired")

    hub.on_http = http
    async with AsyncPublisher(hub.url, token="t") as publisher:
        with pytest.raises(Refused) as caught:
            await publisher.publish("x", all=True)
    assert caught.value.code == "token_expired"


async def test_wrong_credentials(hub: FakeHub) -> None:
    async def http(call: Call) -> Any:
        return problem(401, "credentials_invalid")

    hub.on_http = http
    async with publisher_of(hub) as publisher:
        with pytest.raises(Rejected) as caught:
            await publisher.publish("x", all=True)
    assert caught.value.code == "credentials_invalid"


async def test_credentials_that_go_while_an_event_is_in_doubt(hub: FakeHub) -> None:
    """Whether it is in the log nobody knows, so that its id must not be lost."""

    async def http(call: Call) -> Any:
        if call.path == "/v1/auth/token":
            return problem(401, "user_disabled") if published(hub) else None
        return problem(500, "internal") if len(published(hub)) == 1 else problem(401, "token_revoked")

    hub.on_http = http
    async with publisher_of(hub) as publisher:
        with pytest.raises(PublishFailed) as caught:
            await publisher.publish("x", all=True, id="mine")
    assert caught.value.id == "mine"
    assert isinstance(caught.value.__cause__, Rejected)


async def test_what_cannot_be_an_event(hub: FakeHub) -> None:
    async with publisher_of(hub) as publisher:
        with pytest.raises(ValueError, match="target"):
            await publisher.publish("x")
        with pytest.raises(TypeError):
            await publisher.publish("x", object(), all=True)
        with pytest.raises(TypeError):
            await publisher.publish_many([{"type": "x", "to": "alice"}])
    assert hub.calls == []


# --- Many


async def test_many_in_one_request(hub: FakeHub) -> None:
    async with publisher_of(hub) as publisher:
        made = await publisher.publish_many(
            [{"type": "a", "users": ["alice"], "id": "1"}, NewEvent("b", topics=["t"]), {"type": "c", "all": True}]
        )
        assert await publisher.publish_many([]) == []
    [body] = published(hub)
    assert [event["type"] for event in body] == ["a", "b", "c"]
    assert [event["id"] for event in body] == [receipt.id for receipt in made]


async def test_more_than_fit_into_one_request(hub: FakeHub) -> None:
    async with publisher_of(hub) as publisher:
        by_count = await publisher.publish_many(NewEvent("x", all=True) for _ in range(2500))
        assert [len(body) for body in published(hub)] == [1000, 1000, 500]
        hub.calls.clear()
        by_size = await publisher.publish_many(NewEvent("x", "ü" * 500_000, all=True) for _ in range(9))
        assert [len(body) for body in published(hub)] == [4, 4, 1]
        assert max(len(call.body) for call in hub.calls) <= 4 << 20
    assert len(by_count) == 2500
    assert [receipt.id for receipt in by_size] == [event["id"] for body in published(hub) for event in body]


async def test_of_many_what_was_acknowledged_is_told(hub: FakeHub) -> None:
    async def http(call: Call) -> Any:
        if call.path != "/v1/events" or len(published(hub)) == 1:
            return None
        return problem(503, "overloaded")

    hub.on_http = http
    events = [NewEvent("x", all=True, id=str(number)) for number in range(1500)]
    async with publisher_of(hub, timeout=0.1) as publisher:
        with pytest.raises(PublishFailed) as caught:
            await publisher.publish_many(events)
    assert [receipt.id for receipt in caught.value.receipts] == [str(number) for number in range(1000)]
    assert caught.value.ids == tuple(str(number) for number in range(1000, 1500))
