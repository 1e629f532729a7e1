"""Random histories: the inbox is what a simple model says, whatever happened, and in whatever order.

``INBOX_EXAMPLES=n`` asks for another number of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.inbox import projection
from hub.inbox.marks import Action
from hub.inbox.service import Inbox
from tests.fakes import Clock

from .conftest import Post, opener, user
from .model import Model, Person, Sent

EXAMPLES = int(os.environ.get("INBOX_EXAMPLES", "12"))
ALICE, BOB = user("alice", "news", "sport"), user("bob", "news")

_targets = st.sampled_from(
    [
        {"users": ["alice"]},
        {"users": ["bob", "alice"]},
        {"all": True},
        {"topics": ["news"]},
        {"topics": ["news", "sport"]},
        {"topics": ["sport"], "users": ["alice"]},
        {"all": True, "topics": ["news"], "users": ["bob"]},
        {"topics": ["sport", "elsewhere"]},
    ]
)
_event = st.fixed_dictionaries(
    {
        "to": _targets,
        "type": st.sampled_from(["order.paid", "order.sent", "note"]),
        "ttl": st.sampled_from([None, None, None, 5]),
        "collapse_key": st.sampled_from([None, "a", "a"]),
    }
)
_who = st.integers(0, 1)
_recent = st.integers(0, 5)
"""An event, counted from the newest."""
_step = st.one_of(
    st.tuples(st.just("publish"), st.lists(_event, min_size=1, max_size=4)),
    st.tuples(st.just("publish"), st.lists(_event, min_size=1, max_size=4)),
    st.tuples(st.just("mark"), _who, st.sampled_from(list(Action)), st.lists(_recent, min_size=1, max_size=3)),
    st.tuples(st.just("mark"), _who, st.sampled_from(list(Action)), st.lists(_recent, min_size=1, max_size=3)),
    st.tuples(st.just("up_to"), _who, st.sampled_from([Action.READ, Action.ARCHIVE]), _recent),
    st.tuples(st.just("wait"), st.sampled_from([1, 5])),
    st.tuples(st.just("retain"), st.integers(3, 10)),
    st.tuples(st.just("restart")),
    st.tuples(
        st.just("look"),
        _who,
        st.fixed_dictionaries(
            {
                "read": st.sampled_from([None, True, False]),
                "archived": st.sampled_from([None, True, False]),
                "type": st.sampled_from([None, "note", "order.*"]),
                "topic": st.sampled_from([None, None, "news", "all"]),
            }
        ),
        st.integers(1, 4),
    ),
)


@given(st.lists(_step, min_size=10, max_size=30))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_inbox_is_what_a_simple_model_says(steps: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_carry_out(Path(directory), steps))


@pytest.fixture(autouse=True, params=[1, 32])
def most_combined(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Combinations that a topic may be part of, so that some events are counted in their own way and some are not."""
    monkeypatch.setattr(projection, "MOST_COMBINED", request.param)


async def _carry_out(directory: Path, steps: list[tuple[Any, ...]]) -> None:
    clock = Clock(1_000_000)
    async with opener(directory, clock)() as post:
        history = _History(post, Model(ALICE, BOB))
        for name, *arguments in steps:
            await getattr(history, name)(*arguments)
            await history.check()


class _History:
    def __init__(self, post: Post, model: Model) -> None:
        self.post = post
        self.model = model
        self.seqs: list[int] = []

    async def publish(self, events: list[dict[str, Any]]) -> None:
        drafts = [self.post.draft({k: v for k, v in event.items() if v is not None}) for event in events]
        receipts = await self.post.hub.engine.append(drafts)
        for draft, receipt, event in zip(drafts, receipts, events, strict=True):
            assert receipt.seq is not None
            self.seqs.append(receipt.seq)
            self.model.publish(
                Sent(receipt.seq, draft.id, event["type"], draft.topics, event["collapse_key"], draft.expires_at)
            )

    async def mark(self, who: int, action: Action, which: list[int]) -> None:
        chosen = [self.model.sent[-1 - n].id for n in which if n < len(self.model.sent)]
        if chosen:
            person = self.model.people[who]
            marked = await self.post.inbox.mark(person.who, action, ids=chosen)
            assert marked.changed == self.model.mark(person, action.value, chosen)
            assert marked.unread == self.model.unread(person)

    async def up_to(self, who: int, action: Action, which: int) -> None:
        if which < len(self.seqs):
            person, place = self.model.people[who], self.seqs[-1 - which]
            before = self.model.unread(person)
            marked = await self.post.inbox.mark(person.who, action, up_to=str(self.post.hub.cursor(place)))
            self.model.mark_up_to(person, action.value, place)
            assert marked.unread == self.model.unread(person)
            assert marked.changed == before - marked.unread

    async def wait(self, seconds: float) -> None:
        self.post.clock.now += seconds
        self.model.time_is(self.post.clock.now)

    async def retain(self, which: int) -> None:
        self.post.retain(self.seqs[-1 - which] if which < len(self.seqs) else 0)
        self.model.floor_is(self.post.hub.engine.floor)

    async def restart(self) -> None:
        await self.post.inbox.stop()
        self.post.inbox = Inbox(self.post.hub, self.post.store, self.post.clock)
        await self.post.inbox.start()

    async def look(self, who: int, wanted: dict[str, Any], size: int) -> None:
        person = self.model.people[who]
        found: list[tuple[str, bool, bool]] = []
        after: str | None = None
        while True:
            page = await self.post.page(person.who, after=after, limit=size, **wanted)
            found += [(json.loads(item.body)["id"], item.read, item.archived) for item in page.items]
            if page.next is None:
                break
            after = str(page.next)
        assert found == [row for row, event in self._rows(person) if _fits(row, event, wanted)]

    async def check(self) -> None:
        for person in self.model.people:
            page = await self.post.page(person.who, archived=None, limit=200)
            assert [(json.loads(item.body)["id"], item.read, item.archived) for item in page.items] == [
                row for row, _ in self._rows(person)
            ]
            assert page.unread == self.model.unread(person)

    def _rows(self, person: Person) -> list[tuple[tuple[str, bool, bool], Sent]]:
        return [((e.id, e.seq in person.read, e.seq in person.archived), e) for e in self.model.shown(person)]


def _fits(row: tuple[str, bool, bool], event: Sent, wanted: dict[str, Any]) -> bool:
    _, read, archived = row
    kind = wanted["type"]
    return (
        wanted["read"] in (None, read)
        and wanted["archived"] in (None, archived)
        and (wanted["topic"] is None or wanted["topic"] in event.topics)
        and (kind is None or event.type == kind or (kind[-1] == "*" and event.type.startswith(kind[:-1])))
    )
