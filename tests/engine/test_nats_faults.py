"""The NATS engine when messages get lost, and when servers are away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.engine import nats_link
from hub.engine.nats import NatsEngine
from hub.engine.nats_link import Access
from hub.engine.nats_reader import Reader
from hub.engine.nats_tail import Tail
from hub.errors import HubError
from tests.nats_server import NatsCluster, NatsServer

from .nodes import NEWS, OpenNode, opened, refused, settings, until
from .recorder import Recorder, bodies, draft

pytestmark = pytest.mark.anyio


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A server that the test may harm."""
    server = NatsServer(tmp_path)
    yield server.start()
    server.close()


# --- The tail, when messages get lost


async def test_what_the_tail_misses_is_read_from_the_log_in_order(
    open_node: OpenNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    message, dropped = Tail.message, 0

    def lossy(self: Tail, each: Any) -> None:
        nonlocal dropped
        if hash(each.headers["Nats-Sequence"]) % 5 == 0:
            dropped += 1
        else:
            message(self, each)

    monkeypatch.setattr(Tail, "message", lossy)
    async with open_node() as (engine, sink):
        receipts = []
        for n in range(300):
            receipts += await engine.append([draft(f"{n}", *(["news", "sport"] if n % 3 else ["news"]))])
        await until(lambda: len(sink.entries) >= 300)
        assert dropped > 10
        assert engine.refilled >= dropped
        assert bodies(sink.entries) == [f"{n}" for n in range(300)]


async def test_a_node_that_is_slower_than_its_tail_holds_little_and_catches_up(
    open_node: OpenNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_node() as (publishing, _):
        monkeypatch.setattr("hub.engine.nats.MOST_WAITING", 20)
        async with open_node() as (slow, sink):
            await asyncio.gather(*(publishing.append([draft(f"{n}-{m}") for m in range(200)]) for n in range(10)))
            await until(lambda: len(sink.entries) >= 2000)
            assert [entry.seq for entry in sink.entries] == list(range(1, 2001))
            assert slow.refilled > 0


async def test_the_last_message_lost_is_noticed_without_another_one(
    open_node: OpenNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tail, "message", lambda self, each: None)
    async with open_node() as (engine, sink):
        await engine.append([draft("only")])
        await until(lambda: sink.entries, within=5)
        await engine.append([draft("next")])
        await until(lambda: len(sink.entries) == 2, within=5)
        assert bodies(sink.entries) == ["only", "next"]


async def test_a_gap_that_does_not_fit_into_memory_is_read_from_the_log(
    open_node: OpenNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.engine.nats_tail._MAX_HELD", 1000)
    scan, slow = Reader.scan, asyncio.Event()

    async def waiting(self: Reader, after: int, limit: int) -> Any:
        await slow.wait()
        return await scan(self, after, limit)

    async with open_node() as (engine, sink):
        await engine.append([draft("0")])
        await until(lambda: len(sink.entries) == 1)
        monkeypatch.setattr(Reader, "scan", waiting)
        engine._tail.check(2)  # As if the second had got lost.
        for n in range(1, 50):
            await engine.append([draft(f"{n}" + "x" * 200)])
        assert engine._tail._held_bytes <= 1000
        assert engine.head == 50
        slow.set()
        await until(lambda: len(sink.entries) == 50)
        assert [entry.seq for entry in sink.entries] == list(range(1, 51))


async def test_numbers_that_no_entry_has_are_passed_over_and_no_gap_is_told(open_node: OpenNode, stream: str) -> None:
    async with open_node() as (engine, _):
        await engine.append([draft(f"{n}") for n in range(5)])
        await engine._link.call(f"STREAM.MSG.DELETE.{stream}", {"seq": 3})
        page = await engine.read([NEWS], 2, 10)
        assert (bodies(page.entries), page.floor) == (["3", "4"], 0)
        page = await engine.scan(2, 1)
        assert (bodies(page.entries), page.floor, page.more) == (["3"], 0, True)


# --- Servers that are away


async def test_a_server_that_is_killed_and_comes_back(own_server: NatsServer, stream: str) -> None:
    async with (
        opened(own_server.url, settings(stream)) as (one, at_one),
        opened(own_server.url, settings(stream)) as (
            two,
            at_two,
        ),
    ):
        await one.append([draft(f"{n}", id=f"{n}") for n in range(10)])
        own_server.kill()
        await until(lambda: not one._link.is_up)
        started = time.monotonic()
        assert (await refused(one.append([draft("10", id="10")]))).code == "log_unavailable"
        assert (await refused(one.probe())).code == "log_unavailable"
        assert (await refused(one.read([NEWS], 0, 10))).code == "log_unavailable"
        assert time.monotonic() - started < 1, "told at once"
        own_server.start()
        await until(lambda: one._link.is_up and two._link.is_up)
        await one.probe()
        await two.append([draft("10", id="10")])
        [again] = await one.append([draft("10", id="10")])
        assert again.duplicate
        await until(lambda: len(at_one.entries) >= 11 and len(at_two.entries) >= 11)
        assert bodies(at_one.entries) == bodies(at_two.entries) == [f"{n}" for n in range(11)]


async def test_a_server_that_hangs(own_server: NatsServer, stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.engine.nats_writer._PATIENCE", 1.0)
    async with opened(own_server.url, settings(stream)) as (engine, sink):
        await engine.append([draft("0")])
        own_server.freeze()
        try:
            refusal = await refused(engine.append([draft("1", id="1")]))
            assert refusal.code == "log_unavailable"
            assert "same id" in refusal.detail
            assert (await refused(engine.probe())).code == "log_unavailable"
        finally:
            own_server.thaw()
        # Both tries may arrive; they are one event.
        async with asyncio.timeout(15):
            while True:
                try:
                    [receipt] = await engine.append([draft("1", id="1")])
                    break
                except HubError:
                    await asyncio.sleep(0.1)
        await until(lambda: len(sink.entries) == 2)
        assert receipt.seq == sink.entries[1].seq
        await engine.append([draft("2")])
        await engine.probe()


async def test_the_leader_killed_under_load_loses_and_doubles_nothing(tmp_path: Path, stream: str) -> None:
    cluster = NatsCluster(tmp_path).start()
    try:
        async with opened(cluster.url, settings(stream, replicas=3)) as (engine, sink):
            acknowledged: set[str] = set()
            refusals: set[str] = set()
            done = asyncio.Event()

            async def publish(number: int) -> None:
                count = 0
                while not done.is_set():
                    name = f"{number}-{count}"
                    try:
                        await engine.append([draft(name, id=name)])
                    except HubError as error:
                        refusals.add(error.code)
                        await asyncio.sleep(0.05)  # And again with the same id.
                    else:
                        acknowledged.add(name)
                        count += 1

            publishers = [asyncio.create_task(publish(number)) for number in range(10)]
            await until(lambda: len(acknowledged) > 100)
            leader = (await engine._link.call(f"STREAM.INFO.{stream}"))["cluster"]["leader"]
            victim = next(server for server in cluster.servers if server.name == leader)
            victim.kill()
            before = len(acknowledged)
            await until(lambda: len(acknowledged) > before + 100, within=30)
            victim.start()
            done.set()
            await asyncio.gather(*publishers)
            assert refusals <= {"log_unavailable"}
            await until(lambda: len(sink.entries) >= len(acknowledged))
            came = bodies(sink.entries)
            assert len(came) == len(set(came)), "none twice"
            assert acknowledged == set(came)
            await engine.probe()
    finally:
        cluster.close()


async def test_no_server_stops_the_start_with_a_sentence(monkeypatch: pytest.MonkeyPatch, stream: str) -> None:
    monkeypatch.setattr(nats_link, "_FIRST_CONNECT", 0.7)
    engine = NatsEngine(Access(("nats://127.0.0.1:9",)), settings(stream))
    with pytest.raises(OSError, match=r"no NATS server answers at nats://127\.0\.0\.1:9"):
        await engine.start(Recorder())
