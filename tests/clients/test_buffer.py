"""``AsyncBuffer``: batches, back-pressure, order, nothing lost in silence; with a hub that restarts, too."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from hub_client import AsyncPublisher, NewEvent, PublishFailed, Refused, Rejected

from tests.hub_process import HubProcess

from .fake_hub import Call, FakeHub, problem
from .test_publisher import published, publisher_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("leakless")]


def refusing(hub: FakeHub, *numbers: int, named: bool = True) -> None:
    """The hub refuses requests that hold an event with such data."""

    async def http(call: Call) -> Any:
        if call.path != "/v1/events":
            return None
        for index, event in enumerate(call.json):
            if event["data"] in numbers:
                status, body, headers = problem(422, "event_invalid")  # type: ignore[misc]
                return status, body | ({"index": index} if named and len(call.json) > 1 else {}), headers
        return None

    hub.on_http = http


def sent(hub: FakeHub) -> list[list[Any]]:
    """What the hub got, a list for each request."""
    return [[event["data"] for event in body] for body in published(hub)]


async def test_what_is_added_goes_together_and_in_order(hub: FakeHub) -> None:
    async with publisher_of(hub) as publisher, publisher.buffer(linger=60) as buffer:
        futures = [await buffer.add("n", number, topics=["x"]) for number in range(5)]
        assert (len(buffer), hub.calls) == (5, [])
        await buffer.flush()
        assert [len(requests) for requests in sent(hub)] == [5]
        assert [future.result().id for future in futures] == [event["id"] for event in published(hub)[0]]
        assert (len(buffer), buffer.pending_bytes) == (0, 0)
        await buffer.add_event({"type": "n", "data": 5, "all": True})
    assert sent(hub) == [[0, 1, 2, 3, 4], [5]]


async def test_a_full_request_does_not_linger(hub: FakeHub) -> None:
    async with publisher_of(hub) as publisher, publisher.buffer(linger=60, batch_events=2) as buffer:
        futures = [await buffer.add("n", number, topics=["x"]) for number in range(3)]
        await asyncio.wait(futures[:2])
        assert not futures[2].done()
    assert sent(hub) == [[0, 1], [2]]


async def test_one_alone_waits_for_the_linger_only(hub: FakeHub) -> None:
    async with publisher_of(hub) as publisher, publisher.buffer(linger=0.01) as buffer:
        receipt = await (await buffer.add("n", 1, topics=["x"], id="mine", exclude=["tab-00000001"]))
    assert receipt.id == "mine"
    assert published(hub)[0][0]["exclude"] == ["tab-00000001"]


async def test_requests_have_their_size(hub: FakeHub) -> None:
    async with publisher_of(hub) as publisher, publisher.buffer(linger=60, batch_bytes=1000) as buffer:
        for _ in range(5):
            await buffer.add("n", "ü" * 150, topics=["x"])
        await buffer.add("n", "x" * 5000, topics=["x"])  # Larger than a request is meant to be: alone in one.
    assert [len(request) for request in sent(hub)] == [2, 2, 1, 1]


async def test_a_full_buffer_is_waited_for(hub: FakeHub) -> None:
    gate = asyncio.Event()

    async def http(call: Call) -> Any:
        if call.path == "/v1/events":
            await gate.wait()

    hub.on_http = http
    async with publisher_of(hub) as publisher, publisher.buffer(max_bytes=1000, linger=0) as buffer:
        adding = [asyncio.create_task(buffer.add("n", [n, "x" * 300], topics=["x"])) for n in range(4)]
        done, waiting = await asyncio.wait(adding, timeout=0.2)
        assert (len(done), len(waiting)) == (2, 2)
        assert buffer.pending_bytes <= 1000
        gate.set()
        await asyncio.wait(adding)
        await buffer.flush()
    assert [number for request in sent(hub) for number, _ in request] == [0, 1, 2, 3]


async def test_one_who_gives_up_waiting_has_not_added(hub: FakeHub) -> None:
    gate = asyncio.Event()

    async def http(call: Call) -> Any:
        if call.path == "/v1/events":
            await gate.wait()

    hub.on_http = http
    async with publisher_of(hub) as publisher, publisher.buffer(max_bytes=1, linger=0) as buffer:
        await buffer.add("n", 0, topics=["x"])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(buffer.add("n", 1, topics=["x"]), 0.05)
        gate.set()
        await buffer.add("n", 2, topics=["x"])
    assert sent(hub) == [[0], [2]]


@pytest.mark.parametrize("named", [True, False])
async def test_a_refused_event_does_not_hold_up_the_others(hub: FakeHub, named: bool) -> None:
    refusing(hub, 0, 3, 7, named=named)
    failed: list[Any] = []
    async with publisher_of(hub) as publisher:
        buffer = publisher.buffer(linger=60, on_failed=lambda event, error: failed.append((event.data, error)))
        futures = [await buffer.add("n", number, topics=["x"], id=str(number)) for number in range(8)]
        with pytest.raises(PublishFailed, match="3 events") as caught:
            await buffer.flush()
        assert caught.value.ids == ("0", "3", "7")
        assert isinstance(caught.value.__cause__, Refused)
        assert [number for number, _ in failed] == [0, 3, 7]
        assert [n for n, future in enumerate(futures) if future.exception() is None] == [1, 2, 4, 5, 6]
        taken = [request for request in sent(hub) if not {0, 3, 7} & set(request)]
        assert [number for request in taken for number in request] == [1, 2, 4, 5, 6]
        await buffer.flush()  # What was told once is not told again.
        await buffer.close()


async def test_a_request_of_which_all_is_refused(hub: FakeHub) -> None:
    """A service that was granted too little: each event is told so, and the buffer goes on."""
    refusing(hub, *range(1000))
    failed: list[Any] = []
    async with publisher_of(hub) as publisher:
        buffer = publisher.buffer(linger=60, on_failed=lambda event, error: failed.append((event.data, error)))
        for number in range(1001):
            await buffer.add("n", number, topics=["x"])
        with pytest.raises(PublishFailed, match="1000 events"):
            await buffer.close()
    assert [number for number, _ in failed] == list(range(1000))
    assert {type(error) for _, error in failed} == {Refused}
    assert sent(hub)[-1] == [1000]
    assert sum(map(len, sent(hub))) < 20 * 1000  # Not each as often as there are others.


async def test_a_failure_that_nobody_looks_at_is_logged(hub: FakeHub, caplog: pytest.LogCaptureFixture) -> None:
    refusing(hub, 1)
    with caplog.at_level(logging.ERROR, "hub_client"):
        async with publisher_of(hub) as publisher:
            with pytest.raises(PublishFailed):
                async with publisher.buffer() as buffer:
                    await buffer.add("n", 1, topics=["x"], id="mine")
    assert "The event mine of type n was not published: event_invalid" in caplog.text


async def test_ephemeral_ones_are_not_mixed_with_those_that_may_be_repeated(hub: FakeHub) -> None:
    async def http(call: Call) -> Any:
        return problem(500, "internal") if call.path == "/v1/events" and call.json[0]["data"] == 1 else None

    hub.on_http = http
    async with publisher_of(hub, timeout=1) as publisher:
        buffer = publisher.buffer(linger=60)
        futures = [await buffer.add("n", number, topics=["x"], durable=number != 1) for number in range(3)]
        with pytest.raises(PublishFailed):
            await buffer.close()
        assert [future.exception() is None for future in futures] == [True, False, True]
    assert sent(hub) == [[0], [1], [2]]


async def test_closing_gives_up_after_a_while_and_says_what_is_left(hub: FakeHub) -> None:
    async def http(call: Call) -> Any:
        return problem(503, "log_unavailable") if call.path == "/v1/events" else None

    hub.on_http = http
    async with publisher_of(hub, timeout=0.1) as publisher:
        buffer = publisher.buffer(linger=0, close_timeout=0.3)
        future = await buffer.add("n", 1, topics=["x"], id="mine")
        with pytest.raises(PublishFailed) as caught:
            await buffer.close()
        assert caught.value.ids == ("mine",)
        assert buffer.unsent() == [NewEvent("n", 1, topics=["x"], id="mine")]
        assert isinstance(future.exception(), TimeoutError)
        await buffer.close()
        with pytest.raises(RuntimeError, match="closed"):
            await buffer.add("n", 2, topics=["x"])
        # It was tried for longer than the publisher tries one request.
        assert len(sent(hub)) > 2


async def test_credentials_that_are_refused_end_it(hub: FakeHub) -> None:
    async def http(call: Call) -> Any:
        return problem(401, "credentials_invalid")

    hub.on_http = http
    async with publisher_of(hub) as publisher:
        buffer = publisher.buffer(linger=0)
        future = await buffer.add("n", 1, topics=["x"], id="mine")
        with pytest.raises(Rejected):
            await future
        with pytest.raises(Rejected):
            await buffer.add("n", 2, topics=["x"])
        with pytest.raises(PublishFailed) as caught:
            await buffer.close()
    assert caught.value.ids == ("mine",)


async def test_a_token_that_is_refused_ends_it(hub: FakeHub) -> None:
    async def http(call: Call) -> Any:
        return problem(401, "token_revoked")

    hub.on_http = http
    async with AsyncPublisher(hub.url, token="t") as publisher:
        buffer = publisher.buffer(linger=0)
        with pytest.raises(Refused):
            await (await buffer.add("n", 1, topics=["x"]))
        with pytest.raises(PublishFailed):
            await buffer.close()


async def test_what_cannot_be_said_is_not_added(hub: FakeHub) -> None:
    async with publisher_of(hub) as publisher, publisher.buffer() as buffer:
        with pytest.raises(ValueError, match="target"):
            await buffer.add("n")
        with pytest.raises(TypeError):
            await buffer.add("n", object(), all=True)
        assert len(buffer) == 0
        for wrong in ({"batch_events": 1001}, {"batch_events": 0}, {"max_bytes": 0}, {"batch_bytes": 1 << 30}):
            with pytest.raises(ValueError, match="request holds"):
                publisher.buffer(**wrong)
    assert hub.calls == []


async def test_a_hub_that_is_killed_and_restarted_meanwhile(start_hub: Callable[..., HubProcess]) -> None:
    """Every event is in the log, once, in the order in which it was added."""
    hub = start_hub()
    made = hub.add_service("shop")
    ended = asyncio.Event()
    added = 0

    async def add() -> None:
        nonlocal added
        async with (
            AsyncPublisher(hub.url, service_id=made["id"], service_secret=made["secret"]) as publisher,
            publisher.buffer(max_bytes=20_000, linger=0.001, batch_events=50) as buffer,
        ):
            object.__setattr__(publisher._calls.retry, "cap", 0.2)
            while not ended.is_set():
                await buffer.add("n", added, topics=["metrics"])
                added += 1
                if added % 10 == 0:
                    await asyncio.sleep(0.001)

    adding = asyncio.create_task(add())
    for end in (hub.kill, hub.stop, hub.kill):
        target = added + 200
        async with asyncio.timeout(30):
            while added < target:
                assert not adding.done()
                await asyncio.sleep(0.01)
        await asyncio.to_thread(end)
        await asyncio.to_thread(hub.start)
    ended.set()
    await adding
    seen: list[int] = []
    after = "earliest"
    while True:
        page = hub.call("GET", "/v1/events", params={"topics": "metrics", "after": after, "limit": "1000"})
        seen += [entry["event"]["data"] for entry in page["events"]]
        after = page["cursor"]
        if not page["more"]:
            break
    assert seen == list(range(added))
