"""What every engine promises (``hub.engine.base``), held against every engine there is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hub.errors import HubError
from hub.model import Topic
from tests.fakes import Clock

from .conftest import Open, PassTime
from .recorder import bodies, draft

pytestmark = pytest.mark.anyio

NEWS, SPORT = Topic("news"), Topic("sport")


async def until(condition: Any) -> None:
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.01)


async def test_appends_come_out_of_the_tail_once_and_in_order(open_engine: Open) -> None:
    async with open_engine() as (engine, sink):
        receipts = await asyncio.gather(*(engine.append([draft(f"e{n}")]) for n in range(200)))
        seqs = [receipt.seq for [receipt] in receipts]
        assert len(set(seqs)) == 200
        await until(lambda: len(sink.entries) == 200)
        assert [entry.seq for entry in sink.entries] == sorted(seqs)
        assert engine.head == max(seqs)
        by_seq = {entry.seq: entry.body.decode() for entry in sink.entries}
        assert [by_seq[seq] for seq in seqs] == [f"e{n}" for n in range(200)]


async def test_a_batch_is_contiguous(open_engine: Open) -> None:
    async with open_engine() as (engine, _):
        batches = await asyncio.gather(*(engine.append([draft(f"b{b}-{n}") for n in range(20)]) for b in range(10)))
        for batch in batches:
            seqs = [receipt.seq for receipt in batch]
            assert seqs == list(range(seqs[0], seqs[0] + 20))


async def test_what_was_acknowledged_is_there_after_a_restart(open_engine: Open) -> None:
    async with open_engine() as (engine, _):
        epoch = engine.epoch
        [first] = await engine.append([draft("one")])
    async with open_engine() as (engine, sink):
        assert engine.epoch == epoch
        assert engine.head == first.seq
        page = await engine.read([NEWS], 0, 10)
        assert bodies(page.entries) == ["one"]
        assert sink.entries == [], "the tail begins at the head"
        [second] = await engine.append([draft("two")])
        assert second.seq == first.seq + 1


async def test_read_returns_the_pages_of_the_topics_asked_for(open_engine: Open) -> None:
    async with open_engine() as (engine, _):
        for n in range(10):
            await engine.append([draft(f"n{n}", "news"), draft(f"s{n}", "sport"), draft(f"x{n}", "other")])
        page = await engine.read([NEWS, SPORT], 0, 6)
        assert bodies(page.entries) == ["n0", "s0", "n1", "s1", "n2", "s2"]
        assert page.more
        assert page.through == page.entries[-1].seq
        rest = await engine.read([NEWS, SPORT], page.through, 100)
        assert bodies(rest.entries)[0] == "n3"
        assert len(rest.entries) == 14
        assert not rest.more
        assert rest.through == engine.head, "what is not of these topics is skipped over"
        nothing = await engine.read([NEWS], rest.through, 100)
        assert (list(nothing.entries), nothing.through, nothing.more) == ([], engine.head, False)


async def test_an_entry_of_several_topics_is_read_once_with_all_of_them(open_engine: Open) -> None:
    async with open_engine() as (engine, sink):
        await engine.append([draft("both", "sport", "news", exclude=("tab-1234",))])
        page = await engine.read([NEWS, SPORT], 0, 10)
        [entry] = page.entries
        assert entry.topics == (SPORT, NEWS), "in the publisher's order"
        assert entry.exclude == ("tab-1234",)
        await until(lambda: sink.entries)
        assert sink.entries == [entry], "tail and log agree"


async def test_read_without_after_gives_the_newest(open_engine: Open) -> None:
    async with open_engine() as (engine, _):
        await engine.append([draft(f"e{n}") for n in range(10)])
        page = await engine.read([NEWS], None, 3)
        assert bodies(page.entries) == ["e7", "e8", "e9"]
        assert page.through == engine.head


async def test_a_page_is_bounded_in_bytes_but_never_empty(open_engine: Open) -> None:
    async with open_engine() as (engine, _):
        big = "x" * 200_000
        await engine.append([draft(f"{n}{big}") for n in range(3)])
        seen, after = [], 0
        while True:
            page = await engine.read([NEWS], after, 100)
            seen += bodies(page.entries)
            after = page.through
            if not page.more:
                break
            assert page.entries
        assert [body[0] for body in seen] == ["0", "1", "2"]


async def test_the_newest_are_not_cut_like_a_page(open_engine: Open) -> None:
    async with open_engine() as (engine, _):
        await engine.append([draft(f"{n}" + "x" * 60_000) for n in range(10)])
        assert len((await engine.read([NEWS], None, 10)).entries) == 10


async def test_the_same_id_again_gives_the_first_receipt_and_delivers_nothing(open_engine: Open) -> None:
    async with open_engine() as (engine, sink):
        [first] = await engine.append([draft("paid", id="order-7", time=1_000_000.0)])
        [again] = await engine.append([draft("paid", id="order-7", time=1_000_005.0)])
        assert (again.seq, again.time, again.duplicate) == (first.seq, first.time, True)
        assert not first.duplicate
        [other] = await engine.append([draft("other")])
        await until(lambda: sink.entries and sink.entries[-1].seq == other.seq)
        assert bodies(sink.entries) == ["paid", "other"]
    async with open_engine() as (engine, sink):
        [again] = await engine.append([draft("paid", id="order-7")])
        assert (again.seq, again.duplicate) == (first.seq, True)
        assert sink.entries == []


async def test_duplicates_raced_and_in_one_batch_collapse(open_engine: Open) -> None:
    async with open_engine() as (engine, sink):
        results = await asyncio.gather(*(engine.append([draft("paid", id="order-7")]) for _ in range(50)))
        receipts = [receipt for [receipt] in results]
        assert len({receipt.seq for receipt in receipts}) == 1
        assert sum(not receipt.duplicate for receipt in receipts) == 1
        one, two, three = await engine.append([draft("a", id="x"), draft("b", id="y"), draft("a", id="x")])
        assert (three.seq, three.duplicate) == (one.seq, True)
        assert two.seq == one.seq + 1
        await until(lambda: len(sink.entries) == 3)


async def test_the_same_id_with_other_content_is_refused_and_takes_the_whole_batch_with_it(open_engine: Open) -> None:
    async with open_engine() as (engine, sink):
        await engine.append([draft("paid", id="order-7", fingerprint=b"1")])
        with pytest.raises(HubError) as refused:
            await engine.append([draft("other"), draft("unpaid", id="order-7", fingerprint=b"2")])
        assert refused.value.code == "id_conflict"
        assert refused.value.extra["index"] == 1
        with pytest.raises(HubError):
            await engine.append([draft("a", id="new", fingerprint=b"1"), draft("b", id="new", fingerprint=b"2")])
        [fresh] = await engine.append([draft("a", id="new", fingerprint=b"3")])
        assert not fresh.duplicate, "a refused batch leaves no trace of its ids"
        await until(lambda: len(sink.entries) == 2)
        assert bodies(sink.entries) == ["paid", "a"], "nor of its events"


async def test_an_id_is_forgotten_after_the_window(open_engine: Open, clock: Clock, pass_time: PassTime) -> None:
    async with open_engine(dedupe_window=100) as (engine, _):
        [first] = await engine.append([draft("a", id="x", time=clock.now)])
        await pass_time(70)
        [again] = await engine.append([draft("a", id="x", time=clock.now)])
        await pass_time(40)
        [later] = await engine.append([draft("a", id="x", time=clock.now)])
        assert again.duplicate
        assert not later.duplicate
        assert later.seq > first.seq


async def test_expired_entries_are_not_read_back(open_engine: Open, clock: Clock) -> None:
    async with open_engine() as (engine, _):
        await engine.append([draft("short", expires_at=clock.now + 10), draft("long")])
        assert bodies((await engine.read([NEWS], 0, 10)).entries) == ["short", "long"]
        clock.now += 11
        page = await engine.read([NEWS], 0, 10)
        assert bodies(page.entries) == ["long"]
        assert page.through == engine.head


async def test_retention_by_age_moves_the_floor_and_readers_see_it(
    open_engine: Open, clock: Clock, pass_time: PassTime
) -> None:
    async with open_engine(retention_age=100) as (engine, _):
        for half in range(2):
            await engine.append([draft(f"old{half}-{n}", time=clock.now) for n in range(600)])
        await pass_time(60)
        await engine.append([draft("young", time=clock.now)])
        assert engine.floor == 0
        await pass_time(50)
        await until(lambda: engine.floor == 1200)
        page = await engine.read([NEWS], 5, 10)
        assert page.floor == 1200
        assert bodies(page.entries) == ["young"]
        await pass_time(100)
        await until(lambda: engine.floor == 1201)
        empty = await engine.read([NEWS], 1201, 10)
        assert (list(empty.entries), empty.through, empty.floor) == ([], 1201, 1201)
    async with open_engine(retention_age=100) as (engine, _):
        assert engine.head == 1201, "a seq is never used twice, even if its log is empty"
        [receipt] = await engine.append([draft("next", time=clock.now)])
        assert receipt.seq == 1202


async def test_retention_by_size_keeps_the_newest(open_engine: Open) -> None:
    async with open_engine(retention_bytes=100_000) as (engine, _):
        for n in range(300):
            await engine.append([draft(f"{n:03}" + "x" * 997)])
        await until(lambda: engine.floor >= 200)
        page = await engine.read([NEWS], None, 1000)
        assert bodies(page.entries)[-1][:3] == "299"
        assert 80 <= len(page.entries) <= 100, "an engine may count what it needs around an event"
        assert engine.floor == 300 - len(page.entries)


async def test_what_append_returned_for_is_read(open_engine: Open) -> None:
    async with open_engine() as (engine, _):
        for n in range(50):
            [receipt] = await engine.append([draft(f"e{n}")])
            page = await engine.read([NEWS], receipt.seq - 1, 10)
            assert bodies(page.entries) == [f"e{n}"]


async def test_a_cancelled_append_is_in_the_log_or_not_but_a_retry_settles_it(open_engine: Open) -> None:
    async with open_engine() as (engine, sink):
        task = asyncio.create_task(engine.append([draft("a", id="x")]))
        await asyncio.sleep(0)
        task.cancel()
        [receipt] = await engine.append([draft("a", id="x")])
        await until(lambda: sink.entries)
        assert bodies(sink.entries) == ["a"]
        assert receipt.seq == sink.entries[0].seq


async def test_signals_are_not_in_the_log(open_engine: Open) -> None:
    async with open_engine() as (engine, sink):
        engine.signal(draft("typing"))
        await until(lambda: sink.signals)
        assert sink.signals[0].body == b"typing"
        assert (await engine.read([NEWS], 0, 10)).entries == []
        assert engine.head == 0


async def test_presence_tells_the_first_touch_and_the_last_leave(open_engine: Open) -> None:
    async with open_engine() as (engine, sink):
        engine.touch(NEWS, "alice")
        engine.touch(NEWS, "alice")
        engine.touch(NEWS, "bob")
        await until(lambda: len(sink.presence) == 2)
        assert engine.members(NEWS) == {"alice", "bob"}
        engine.leave(NEWS, "alice")
        engine.leave(NEWS, "alice")
        await until(lambda: len(sink.presence) == 3)
        assert engine.members(NEWS) == {"bob"}
        assert [(c.user, c.joined) for c in sink.presence] == [("alice", True), ("bob", True), ("alice", False)]
        assert engine.members(SPORT) == frozenset()


async def test_a_probe_answers_and_adds_nothing(open_engine: Open) -> None:
    async with open_engine() as (engine, sink):
        await engine.probe()
        assert engine.head == 0
        assert sink.entries == []


async def test_a_stopped_engine_refuses_clearly_and_stops_twice(open_engine: Open) -> None:
    async with open_engine() as (engine, _):
        await engine.stop()
        for call in (engine.append([draft("a")]), engine.read([NEWS], 0, 1), engine.probe()):
            with pytest.raises(HubError, match="log_unavailable"):
                await call


async def test_stop_finishes_what_was_accepted(open_engine: Open) -> None:
    async with open_engine() as (engine, _):
        pending = [asyncio.create_task(engine.append([draft(f"e{n}")])) for n in range(100)]
        await asyncio.sleep(0)
        await engine.stop()
        assert len(await asyncio.gather(*pending)) == 100
    async with open_engine() as (engine, _):
        assert len((await engine.read([NEWS], 0, 1000)).entries) == 100


async def test_a_scan_gives_all_entries_in_order_whatever_their_topics(open_engine: Open) -> None:
    async with open_engine() as (engine, sink):
        await engine.append([draft(f"e{n}", "news" if n % 2 else f"user:u{n}") for n in range(25)])
        found, after = [], 0
        while True:
            page = await engine.scan(after, 10)
            found += page.entries
            after = page.through
            if not page.more:
                break
        assert found == sink.entries
        assert after == engine.head
        rest = await engine.scan(after, 10)
        assert (list(rest.entries), rest.through, rest.more) == ([], engine.head, False)


async def test_a_scan_is_bounded_in_bytes_and_begins_at_the_floor(
    open_engine: Open, clock: Clock, pass_time: PassTime
) -> None:
    async with open_engine(retention_age=100) as (engine, _):
        await engine.append([draft("old")])
        await pass_time(101)
        await engine.append([draft(f"{n}" * 200_000, time=clock.now) for n in range(4)])
        await until(lambda: engine.floor)
        page = await engine.scan(0, 100)
        assert page.floor == engine.floor
        assert 1 <= len(page.entries) < 4
        assert page.more
        assert page.through == page.entries[-1].seq


async def test_what_is_past_its_time_is_deleted_and_its_seq_is_not_used_again(open_engine: Open, clock: Clock) -> None:
    async with open_engine() as (engine, _):
        await engine.append([draft("stays")])
        await until(lambda: engine.size)
        size = engine.size
        past = await engine.append([draft("past" * 1000, "news", "sport", expires_at=clock.now + 2) for _ in range(3)])
        head = engine.head
        await until(lambda: engine.size > size)
        clock.now += 6
        await until(lambda: engine.size == size)
        assert bodies((await engine.scan(0, 10)).entries) == ["stays"]
        assert (await engine.read([NEWS, SPORT], 0, 10)).through == head
        assert engine.floor == 0
    async with open_engine() as (engine, _):
        assert engine.head == head == past[-1].seq
        [next_one] = await engine.append([draft("next")])
        assert next_one.seq is not None
        assert next_one.seq > head


async def test_the_newest_are_those_that_are_not_past_their_time(open_engine: Open, clock: Clock) -> None:
    async with open_engine() as (engine, _):
        await engine.append([draft("stays")])
        await engine.append([draft(f"past{n}", expires_at=clock.now + 5) for n in range(20)])
        clock.now += 6
        # Whether or not they were deleted yet.
        assert bodies((await engine.read([NEWS], None, 5)).entries) == ["stays"]
