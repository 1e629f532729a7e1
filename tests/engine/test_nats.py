"""What is the NATS engine's own: several nodes on one stream, and how it is read."""

from __future__ import annotations

import asyncio

import pytest

from hub.engine.nats import NatsEngine
from hub.engine.nats_link import Access
from hub.engine.nats_reader import Reader
from hub.model import Entry, Topic
from tests.nats_server import NatsCluster, NatsServer

from .nodes import NEWS, OpenNode, opened, refused, settings, until
from .recorder import Recorder, bodies, draft

pytestmark = pytest.mark.anyio


async def test_all_nodes_see_one_order(open_node: OpenNode) -> None:
    async with open_node() as (one, at_one), open_node() as (two, at_two), open_node() as (_, at_three):
        assert one.epoch == two.epoch
        calls = [node.append([draft(f"{n}"), draft(f"{n}'")]) for n in range(50) for node in (one, two)]
        calls += [node.append([draft(f"{n}''")]) for n in range(100) for node in (one, two)]
        receipts = [receipt for some in await asyncio.gather(*calls) for receipt in some]
        await until(lambda: len(at_one.entries) == len(at_two.entries) == len(at_three.entries) == 400)
        assert at_one.entries == at_two.entries == at_three.entries
        assert [entry.seq for entry in at_one.entries] == sorted(receipt.seq or 0 for receipt in receipts)


@pytest.mark.parametrize("together", [1, 3])
async def test_duplicates_raced_on_two_nodes_collapse(open_node: OpenNode, together: int) -> None:
    async with open_node() as (one, sink), open_node() as (two, _):
        for n in range(20):
            drafts = [draft(f"{n}-{m}", id=f"{n}-{m}") for m in range(together)]
            firsts, seconds = await asyncio.gather(one.append(drafts), two.append(drafts))
            assert [receipt.seq for receipt in firsts] == [receipt.seq for receipt in seconds]
            assert all(a.duplicate != b.duplicate for a, b in zip(firsts, seconds, strict=True))
        await until(lambda: len(sink.entries) >= 20 * together)
        assert len(sink.entries) == 20 * together


@pytest.mark.parametrize("replicas", [1, 3])
async def test_a_batch_with_some_known_ids_appends_the_others_as_neighbours(
    nats_server: NatsServer, nats_cluster: NatsCluster, stream: str, replicas: int
) -> None:
    url = nats_server.url if replicas == 1 else nats_cluster.url
    async with opened(url, settings(stream, replicas=replicas)) as (engine, sink):
        known = [await engine.append([draft(f"k{n}", id=f"k{n}")]) for n in range(2)]
        mixed = ["k0", "new1", "k1", "new2", "new1"]
        receipts = await engine.append([draft(name, id=name) for name in mixed] + [draft("unnamed")])
        assert [receipt.duplicate for receipt in receipts] == [True, False, True, False, True, False]
        assert receipts[0].seq == known[0][0].seq
        assert receipts[2].seq == known[1][0].seq
        assert [receipts[n].seq for n in (1, 3, 5)] == [3, 4, 5]
        await until(lambda: len(sink.entries) == 5)
        again = await engine.append([draft(name, id=name) for name in mixed])
        assert all(receipt.duplicate for receipt in again)
        assert [receipt.seq for receipt in again] == [receipt.seq for receipt in receipts[:5]]
        assert engine.head == 5


async def test_a_signal_reaches_every_node_once(open_node: OpenNode) -> None:
    async with open_node() as (one, at_one), open_node() as (two, at_two):
        one.signal(draft("typing", exclude=("tab-1234",)))
        two.signal(draft("back"))
        await until(lambda: len(at_one.signals) == len(at_two.signals) == 2)
        assert {signal.body for signal in at_one.signals} == {b"typing", b"back"}
        assert next(signal for signal in at_two.signals if signal.body == b"typing").exclude == ("tab-1234",)


# --- The stream


async def test_a_stream_that_differs_from_the_settings_stops_the_start_and_is_not_changed(
    open_node: OpenNode, stream: str
) -> None:
    async with open_node() as (engine, _):
        before = (await engine._link.call(f"STREAM.INFO.{stream}"))["config"]
        with pytest.raises(OSError, match=r"max_age is 1e\+06s, and HUB_RETENTION_AGE says 2000s.*nats stream edit"):
            async with open_node(retention_age=2000):
                pass
        assert (await engine._link.call(f"STREAM.INFO.{stream}"))["config"] == before
        with pytest.raises(OSError, match="num_replicas is 1, and HUB_NATS_REPLICAS says 3"):
            async with open_node(replicas=3):
                pass
    with pytest.raises(OSError, match="HUB_DEDUPE_WINDOW has to be at most"):
        async with open_node(retention_age=10):
            pass


async def test_a_stream_that_is_replaced_is_noticed(
    open_node: OpenNode, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_node() as (engine, _):
        await engine.append([draft("a")])
        await engine._link.call(f"STREAM.DELETE.{stream}")
        async with open_node():
            await until(lambda: engine._replaced)
        for call in (engine.append([draft("b")]), engine.probe()):
            assert "replaced" in (await refused(call)).detail


@pytest.mark.parametrize("replicas", [1, 3])
async def test_nodes_that_make_the_stream_at_once_have_one_log(
    nats_server: NatsServer, nats_cluster: NatsCluster, stream: str, replicas: int
) -> None:
    url = nats_server.url if replicas == 1 else nats_cluster.url
    engines = [NatsEngine(Access(tuple(url.split(","))), settings(stream, replicas=replicas)) for _ in range(6)]
    await asyncio.gather(*(engine.start(Recorder()) for engine in engines))
    assert len({engine.epoch for engine in engines}) == 1
    await asyncio.gather(*(engine.stop() for engine in engines))


# --- Reading


async def test_a_replica_that_is_behind_is_not_believed(open_node: OpenNode, monkeypatch: pytest.MonkeyPatch) -> None:
    get = Reader._get

    async def behind(self: Reader, subject: str, after: int, limit: int, size: int) -> tuple[list[Entry], bool]:
        entries, complete = await get(self, subject, after, limit, size)
        return [entry for entry in entries if entry.seq <= 4], complete

    async with open_node() as (engine, _):
        await engine.append([draft(f"{n}") for n in range(10)])
        monkeypatch.setattr(Reader, "_get", behind)
        seen, after, more = [], 0, True
        while more:
            page = await engine.read([NEWS], after, 100)
            seen += bodies(page.entries)
            after, more = page.through, page.more
        assert seen == [f"{n}" for n in range(10)]
        assert bodies((await engine.read([NEWS], None, 3)).entries) == ["7", "8", "9"]


async def test_the_newest_are_found_among_many_of_others(open_node: OpenNode) -> None:
    async with open_node() as (engine, _):
        await engine.append([draft(f"n{n}") for n in range(3)])
        await engine.append([draft("both", "sport", "news")])
        for _ in range(3):
            await engine.append([draft("x", "a", "b") for _ in range(300)] + [draft("y", "c") for _ in range(300)])
        page = await engine.read([NEWS], None, 3)
        assert bodies(page.entries) == ["n1", "n2", "both"]
        assert page.through == engine.head
        assert bodies((await engine.read([NEWS], None, 50)).entries) == ["n0", "n1", "n2", "both"]
        assert len((await engine.read([Topic("a"), Topic("c")], None, 1000)).entries) == 1000


async def test_what_came_right_before_a_node_began_is_read_without_asking_the_stream(
    open_node: OpenNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.engine.nats_eve._MOST", 60)
    async with open_node() as (engine, _):
        for n in range(100):
            await engine.append([draft(f"{n}", *[("news", "sport")[: 1 + n % 2], ("other",)][n % 5 == 0])])
        expected = [await engine.read([NEWS, Topic("sport")], after, 10) for after in (50, 70, 99)]
    async with open_node() as (engine, _):
        await until(lambda: engine._eve.head == 100)

        async def unexpected(*_: object) -> None:
            raise AssertionError("the stream was asked")

        with monkeypatch.context() as patched:
            patched.setattr(Reader, "_run", unexpected)
            assert [await engine.read([NEWS, Topic("sport")], after, 10) for after in (50, 70, 99)] == expected
            with pytest.raises(AssertionError):
                await engine.read([NEWS], 39, 10)
            rest = await engine.read([NEWS], 60, 1000)
            assert (rest.through, rest.more, rest.entries[-1].seq) == (100, False, 100)
        await engine.append([draft("new")])
        page = await engine.read([NEWS], 98, 10)
        assert (page.through, page.more) == (100, True)
        assert bodies((await engine.read([NEWS], 100, 10)).entries) == ["new"]


async def test_a_topic_with_dots_is_found(open_node: OpenNode) -> None:
    async with open_node() as (engine, _):
        await engine.append([draft("1", "user:a.b@c.d"), draft("2", "user:a"), draft("3", "x#a.b:c|d~e=f/g+h")])
        assert bodies((await engine.read([Topic("user:a.b@c.d")], 0, 10)).entries) == ["1"]
        assert bodies((await engine.read([Topic("x#a.b:c|d~e=f/g+h")], 0, 10)).entries) == ["3"]


async def test_what_somebody_else_wrote_into_the_stream_is_an_entry_of_no_topic(
    open_node: OpenNode, stream: str
) -> None:
    async with open_node() as (engine, sink):
        await engine._link.send(f"{stream}.log.topic.news", b"hello")
        await engine.append([draft("ours")])
        await until(lambda: len(sink.entries) == 2)
        assert [entry.topics for entry in sink.entries] == [(), (NEWS,)]
        assert bodies((await engine.read([NEWS], 0, 10)).entries) == ["ours"]


async def test_an_event_that_the_servers_do_not_take_is_refused(open_node: OpenNode) -> None:
    async with open_node() as (engine, _):
        assert (await refused(engine.append([draft("x" * (1 << 20))]))).code == "event_too_large"
        users = [f"user:{n}-{'x' * 120}" for n in range(1000)]
        await engine.append([draft("to many", *users)])
        assert bodies((await engine.read([Topic(users[-1])], 0, 10)).entries) == ["to many"]
