"""What an inbox shows, in which order, and what marks do to it."""

from __future__ import annotations

import asyncio
import json

import pytest

from hub.errors import HubError
from hub.inbox.marks import Action
from hub.inbox.pages import Wanted
from hub.inbox.service import Inbox
from hub.limits import Rate
from hub.model import Grants, Principal, Topic
from hub.publication import Publication, make_draft

from .conftest import Open, Post, ids, user

pytestmark = [pytest.mark.anyio, pytest.mark.both_databases]

ALICE, BOB = user("alice"), user("bob")


async def test_it_has_what_is_mine_for_all_and_of_my_tokens_topics_newest_first(post: Post) -> None:
    await post.publish(
        {"id": "1", "to": {"users": ["alice"]}},
        {"id": "2", "to": {"users": ["bob"]}},
        {"id": "3", "to": {"all": True}},
        {"id": "4", "to": {"topics": ["news"]}},
        {"id": "5", "to": {"users": ["bob", "alice"], "topics": ["news"]}},
    )
    page = await post.page(ALICE)
    assert ids(page) == ["5", "3", "1"]
    assert (page.unread, page.next) == (3, None)
    assert [item.topic for item in page.items] == ["user:alice", "all", "user:alice"]
    reader = user("carol", "news")
    page = await post.page(reader)
    assert ids(page) == ["5", "4", "3"]
    assert page.unread == 3
    assert [item.topic for item in page.items] == ["news", "news", "all"]


async def test_an_event_on_several_of_my_topics_is_there_and_counted_once(post: Post) -> None:
    reader = user("alice", "news", "sport")
    await post.publish(
        {"id": "1", "to": {"topics": ["sport", "news"]}},
        {"id": "2", "to": {"users": ["alice"], "topics": ["news"]}},
        {"id": "3", "to": {"topics": ["news"], "all": True, "users": ["alice"]}},
        {"id": "4", "to": {"topics": ["sport", "other"]}},
    )
    page = await post.page(reader)
    assert ids(page) == ["4", "3", "2", "1"]
    assert page.unread == 4
    assert [item.topic for item in page.items] == ["sport", "user:alice", "user:alice", "sport"]
    assert ids(await post.page(reader, topic="news")) == ["3", "2", "1"]
    for n, one in enumerate(["1", "2", "3", "4"], 1):
        marked = await post.inbox.mark(reader, Action.READ, ids=[one])
        assert (marked.changed, marked.unread) == (1, 4 - n)
    marked = await post.inbox.mark(reader, Action.UNREAD, ids=["1", "3"])
    assert (marked.changed, marked.unread) == (2, 2)


async def test_pages_follow_one_another(post: Post) -> None:
    await post.publish(*({"id": str(n), "to": {"all": True} if n % 3 else {"users": ["alice"]}} for n in range(130)))
    found: list[str] = []
    after = None
    while True:
        page = await post.page(ALICE, after=after, limit=17)
        found += ids(page)
        if page.next is None:
            break
        assert len(page.items) == 17
        after = str(page.next)
    assert found == [str(n) for n in reversed(range(130))]


async def test_read_unread_archive_and_back(post: Post) -> None:
    await post.publish(*({"id": str(n)} for n in range(5)))
    marked = await post.inbox.mark(ALICE, Action.READ, ids=["1", "3", "3", "nothing"])
    assert (marked.changed, marked.unread) == (2, 3)
    again = await post.inbox.mark(ALICE, Action.READ, ids=["1", "3"])
    assert (again.changed, again.unread) == (0, 3)
    assert ids(await post.page(ALICE, read=False)) == ["4", "2", "0"]
    assert ids(await post.page(ALICE, read=True)) == ["3", "1"]
    marked = await post.inbox.mark(ALICE, Action.ARCHIVE, ids=["4", "3"])
    assert (marked.changed, marked.unread) == (2, 2)
    assert ids(await post.page(ALICE)) == ["2", "1", "0"]
    assert ids(await post.page(ALICE, archived=True)) == ["4", "3"]
    assert ids(await post.page(ALICE, archived=None)) == ["4", "3", "2", "1", "0"]
    assert (await post.inbox.mark(ALICE, Action.UNARCHIVE, ids=["4"])).unread == 3
    assert (await post.inbox.mark(ALICE, Action.UNREAD, ids=["1"])).unread == 4
    assert (await post.page(BOB)).unread == 0


async def test_everything_up_to_a_place(post: Post) -> None:
    await post.publish(*({"id": str(n)} for n in range(6)))
    page = await post.page(ALICE)
    third = str(post.hub.cursor(page.items[3].seq))
    marked = await post.inbox.mark(ALICE, Action.READ, up_to=third)
    assert (marked.changed, marked.unread) == (3, 3)
    assert ids(await post.page(ALICE, read=True)) == ["2", "1", "0"]
    assert (await post.inbox.mark(ALICE, Action.UNREAD, ids=["1"])).unread == 4
    assert ids(await post.page(ALICE, read=False)) == ["5", "4", "3", "1"]
    marked = await post.inbox.mark(ALICE, Action.ARCHIVE, up_to=third)
    assert marked.unread == 3
    assert ids(await post.page(ALICE)) == ["5", "4", "3"]
    assert (await post.inbox.mark(ALICE, Action.UNARCHIVE, ids=["1"])).unread == 4
    marked = await post.inbox.mark(ALICE, Action.READ, up_to=str(marked.cursor))
    assert marked.unread == 0
    assert ids(await post.page(ALICE)) == ["5", "4", "3", "1"]
    await post.publish({"id": "6"})
    assert (await post.page(ALICE)).unread == 1


async def test_a_newer_one_of_the_same_key_takes_the_place_of_an_unread_one(post: Post) -> None:
    await post.publish(*({"id": f"a{n}", "collapse_key": "upload"} for n in range(3)), {"id": "b", "collapse_key": "x"})
    page = await post.page(ALICE)
    assert ids(page) == ["b", "a2"]
    assert page.unread == 2
    await post.inbox.mark(ALICE, Action.READ, ids=["a2"])
    await post.publish({"id": "a3", "collapse_key": "upload"})
    page = await post.page(ALICE)
    assert ids(page) == ["a3", "b", "a2"], "what was read stays"
    assert page.unread == 2
    await post.publish(
        {"id": "a4", "collapse_key": "upload"}, {"id": "c", "collapse_key": "upload", "to": {"all": True}}
    )
    page = await post.page(ALICE)
    assert ids(page) == ["c", "a4", "b", "a2"], "a key is a topic's"
    assert page.unread == 3
    # What was hidden is not to be marked, what is kept is.
    assert (await post.inbox.mark(ALICE, Action.READ, ids=["a3"])).changed == 0
    assert (await post.inbox.mark(ALICE, Action.UNREAD, ids=["a2"])).unread == 4
    # Replay and history have all of them, in order.
    log = await post.hub.engine.read(["user:alice"], 0, 100)  # type: ignore[list-item]
    said = [json.loads(entry.body)["id"] for entry in log.entries if b"hub.inbox" not in entry.body]
    assert said == ["a0", "a1", "a2", "b", "a3", "a4"]


async def test_for_all_it_is_replaced_for_those_who_had_not_read_it(post: Post) -> None:
    await post.publish({"id": "1", "collapse_key": "k", "to": {"all": True}})
    await post.inbox.mark(ALICE, Action.READ, up_to=str((await post.page(ALICE)).cursor))
    await post.publish({"id": "2", "collapse_key": "k", "to": {"all": True}})
    await post.inbox.mark(BOB, Action.READ, up_to=str((await post.page(BOB)).cursor))
    await post.publish({"id": "3", "collapse_key": "k", "to": {"all": True}})
    assert ids(await post.page(ALICE)) == ["3", "1"]
    assert ids(await post.page(BOB)) == ["3", "2"]
    assert ids(await post.page(user("carol"))) == ["3"]
    for who in (ALICE, BOB, user("carol")):
        assert (await post.page(who)).unread == 1


async def test_what_was_unread_when_it_was_replaced_stays_hidden_whatever_is_said_later(post: Post) -> None:
    await post.publish({"id": "1", "collapse_key": "k", "to": {"all": True}})
    for action in (Action.READ, Action.UNREAD):
        await post.inbox.mark(ALICE, action, ids=["1"])
    await post.inbox.mark(ALICE, Action.READ, up_to=str((await post.page(ALICE)).cursor))
    await post.inbox.mark(ALICE, Action.UNREAD, ids=["1"])
    await post.publish({"id": "2", "collapse_key": "k", "to": {"all": True}})
    assert ids(await post.page(ALICE)) == ["2"]
    await post.inbox.mark(ALICE, Action.READ, up_to=str((await post.page(ALICE)).cursor))
    assert ids(await post.page(ALICE)) == ["2"]


async def test_it_is_replaced_in_the_topic_by_which_it_is_mine(post: Post) -> None:
    reader = user("alice", "news")
    await post.publish({"id": "1", "collapse_key": "k", "to": {"users": ["alice"], "topics": ["news"]}})
    await post.inbox.mark(reader, Action.READ, ids=["1"])
    await post.publish({"id": "2", "collapse_key": "k", "to": {"topics": ["news"]}})
    assert ids(await post.page(reader)) == ["2", "1"]
    assert (await post.inbox.mark(reader, Action.UNREAD, ids=["1"])).unread == 2
    await post.publish({"id": "3", "collapse_key": "k"})
    page = await post.page(reader)
    assert (ids(page), page.unread) == (["3", "2"], 2)


async def test_what_happens_in_another_topic_brings_nothing_back(post: Post) -> None:
    reader = user("alice", "news")
    await post.publish({"id": "1", "collapse_key": "k", "to": {"all": True, "topics": ["news"]}})
    await post.inbox.mark(reader, Action.ARCHIVE, ids=["1"])
    await post.publish({"id": "2", "collapse_key": "k", "to": {"all": True}})
    page = await post.page(reader, archived=None)
    assert ids(page) == ["2"]
    await post.inbox.mark(reader, Action.READ, up_to=str(page.cursor))
    await post.publish({"id": "3", "collapse_key": "k", "to": {"topics": ["news"]}})
    assert ids(await post.page(reader, archived=None)) == ["3", "2"]


async def test_after_its_time_it_is_gone(post: Post) -> None:
    await post.publish({"id": "1", "ttl": 10}, {"id": "2"}, {"id": "3", "ttl": 20, "to": {"all": True}}, {"id": "4"})
    await post.inbox.mark(ALICE, Action.READ, ids=["1"])
    assert (await post.page(ALICE)).unread == 3
    post.clock.now += 10
    page = await post.page(ALICE)
    assert (ids(page), page.unread) == (["4", "3", "2"], 3)
    assert (await post.inbox.mark(ALICE, Action.READ, ids=["4"])).unread == 2
    post.clock.now += 10
    page = await post.page(ALICE)
    assert (ids(page), page.unread) == (["4", "2"], 1)
    assert (await post.inbox.mark(ALICE, Action.READ, ids=["1", "3"])).changed == 0


async def test_a_mark_is_told_to_all_devices_in_the_log(post: Post) -> None:
    await post.publish(*({"id": str(n)} for n in range(3)))
    page = await post.page(ALICE)
    marked = await post.inbox.mark(ALICE, Action.READ, ids=["0", "0", "x"])
    await post.inbox.mark(ALICE, Action.READ, ids=["0"])
    await post.inbox.mark(ALICE, Action.ARCHIVE, up_to=str(page.cursor))
    after = await post.hub.engine.read(["user:alice"], page.cursor.seq, 100)  # type: ignore[list-item]
    said = [json.loads(entry.body) for entry in after.entries]
    assert [(one["type"], one["source"], one["data"]) for one in said] == [
        ("hub.inbox", "user:alice", {"action": "read", "ids": ["0"], "up_to": None, "unread": 2}),
        ("hub.inbox", "user:alice", {"action": "archive", "ids": None, "up_to": str(page.cursor), "unread": 0}),
    ], "what changed nothing is not told"
    assert marked.cursor.seq == after.entries[0].seq
    page = await post.page(ALICE, archived=None)
    assert ids(page) == ["2", "1", "0"], "the hub's own events are in no inbox"
    assert page.unread == 0


async def test_what_may_not_be_asked(post: Post) -> None:
    await post.publish({})
    cursor = post.hub.cursor(1)
    for who, wanted, code in (
        (Principal("shop", "service", "s", 0), {}, "forbidden"),
        (ALICE, {"topic": "news"}, "forbidden"),
        (ALICE, {"after": "what?"}, "cursor_invalid"),
        (ALICE, {"after": f"{cursor.epoch}0:1"}, "cursor_invalid"),
        (ALICE, {"after": str(post.hub.cursor(99))}, "cursor_invalid"),
    ):
        with pytest.raises(HubError) as refused:
            await post.page(who, **wanted)  # type: ignore[arg-type]
        assert refused.value.code == code


async def test_marks_survive_a_restart(open_post: Open) -> None:
    async with open_post() as post:
        await post.publish(*({"id": str(n), "collapse_key": "k" if n > 7 else None} for n in range(10)))
        await post.inbox.mark(ALICE, Action.READ, ids=["3", "5"])
        before = await post.page(ALICE)
        assert before.unread == 7
    async with open_post() as post:
        await post.publish({"id": "new", "collapse_key": "k"})
        page = await post.page(ALICE)
        assert ids(page) == ["new", *ids(before)[1:]]
        assert page.unread == 7
        assert ids(await post.page(ALICE, read=True)) == ["5", "3"]


async def test_what_the_log_lets_go_of_goes(open_post: Open) -> None:
    async with open_post(retention_age=100) as post:
        await post.publish(*({"id": f"old{n}"} for n in range(5)), {"id": "old", "to": {"topics": ["gone"]}})
        await post.inbox.mark(ALICE, Action.READ, ids=["old1", "old3"])
        post.clock.now += 90
        await post.publish(*({"id": f"new{n}"} for n in range(3)))
        await post.inbox.mark(ALICE, Action.READ, ids=["new1"])
        assert (await post.page(ALICE)).unread == 5
        post.clock.now += 20
        while post.hub.engine.floor < 6:
            await post.publish({"to": {"users": ["bob"]}})
        page = await post.page(ALICE)
        assert ids(page) == ["new2", "new1", "new0"]
        assert page.unread == 2


async def test_another_log_is_another_inbox(open_post: Open) -> None:
    async with open_post() as post:
        await post.publish(*({"id": str(n)} for n in range(10)))
        await post.inbox.mark(ALICE, Action.READ, ids=["3", "5"])
    async with open_post(name="other.db") as post:
        assert (await post.page(ALICE)).unread == 0
        await post.publish({"id": "3"})
        page = await post.page(ALICE)
        assert (ids(page), page.unread) == (["3"], 1)


async def test_several_nodes_with_one_database_keep_one_inbox(post: Post) -> None:
    """Each follows the log and writes what nobody has written yet."""
    other = Inbox(post.hub, post.store, post.clock)
    await other.start()
    try:
        for n in range(20):
            await post.publish(*({"id": f"{n}-{m}", "collapse_key": "k" if m == 0 else None} for m in range(5)))
            nodes = [post.inbox, other]
            pages = await asyncio.gather(*(node.read(ALICE, Wanted(), after=None, limit=200) for node in nodes * 2))
            assert {page.unread for page in pages} == {4 * n + 5}
            assert {tuple(ids(page)) for page in pages} == {tuple(ids(pages[0]))}
        await asyncio.gather(
            *(node.mark(ALICE, Action.READ, ids=[f"{n}-1"]) for n in range(20) for node in (post.inbox, other))
        )
        assert (await other.read(ALICE, Wanted(), after=None, limit=1)).unread == 61
    finally:
        await other.stop()


@pytest.mark.both_databases(False)
async def test_marks_count_as_what_a_user_publishes(open_post: Open) -> None:
    async with open_post(publish_events_user=Rate(3, 60)) as post:
        await post.publish(*({"id": str(n)} for n in range(5)))
        for n in range(3):
            await post.inbox.mark(ALICE, Action.READ, ids=[str(n)])
        with pytest.raises(HubError) as refused:
            await post.inbox.mark(ALICE, Action.READ, ids=["3"])
        assert refused.value.code == "rate_limited"
        assert (await post.page(ALICE)).unread == 2, "and nothing was marked"
        await post.inbox.mark(user("bob"), Action.READ, ids=["3"])


@pytest.mark.both_databases(False)
async def test_each_tenant_has_its_own_everybody_and_its_own_alice(post: Post) -> None:
    theirs = Principal("acme#alice", "user", "s", 0, topics=(Topic("acme#news"), Topic("acme#sport")))
    shop = Principal("acme#shop", "service", "s", 0, grants=Grants(publish=("*", "user:*", "all")))
    for name, to in (("1", {"all": True}), ("2", {"users": ["alice"]}), ("3", {"topics": ["news", "sport"]})):
        said = Publication.model_validate({"id": name, "type": "t", "to": to})
        await post.hub.engine.append([make_draft(said, shop, now=post.clock(), max_bytes=1 << 16)])
    page = await post.page(theirs)
    assert (ids(page), page.unread) == (["3", "2", "1"], 3)
    page = await post.page(user("alice", "news"))
    assert (ids(page), page.unread) == ([], 0)
    assert (await post.inbox.mark(user("alice"), Action.READ, ids=["1", "2", "3"])).changed == 0
    assert (await post.inbox.mark(theirs, Action.READ, ids=["1", "2", "3"])).unread == 0
