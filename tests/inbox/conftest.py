"""A hub with an inbox, without sockets: a real log and a real database, and time that the test moves."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hub.app import Application
from hub.database.store import Store
from hub.engine.sqlite import SqliteEngine
from hub.hub import Hub
from hub.inbox.pages import Wanted
from hub.inbox.service import Inbox, Page
from hub.model import Draft, Grants, Principal, Topic
from hub.publication import Publication, make_draft
from hub.settings import Settings
from tests.fakes import Clock

SHOP = Principal("shop", "service", "s", 0, grants=Grants(publish=("*", "user:*", "all")))


def user(name: str, *topics: str) -> Principal:
    """Somebody whose token carries these topics."""
    return Principal(name, "user", "s", 0, topics=tuple(Topic(topic) for topic in topics))


class _Engine(SqliteEngine):
    """A log that lets go of what the test says."""

    raised = 0

    @property
    def floor(self) -> int:
        return max(super().floor, self.raised)


class Post:
    """A hub whose inbox is tested."""

    def __init__(self, hub: Hub, store: Store, clock: Clock) -> None:
        self.hub = hub
        self.store = store
        self.clock = clock
        self.inbox = Inbox(hub, store, clock)

    async def publish(self, *said: dict[str, Any]) -> list[str]:
        """Publish, as a service; the ids."""
        drafts = [self.draft(one) for one in said]
        for start in range(0, len(drafts), 1000):
            await self.hub.engine.append(drafts[start : start + 1000])
        return [draft.id for draft in drafts]

    def draft(self, said: dict[str, Any]) -> Draft:
        publication = Publication.model_validate({"type": "t", "to": {"users": ["alice"]}} | said)
        return make_draft(publication, SHOP, now=self.clock(), max_bytes=1 << 16)

    def retain(self, after: int) -> None:
        """The log lets go of everything up to there."""
        assert isinstance(self.hub.engine, _Engine)
        self.hub.engine.raised = max(after, self.hub.engine.raised)

    async def page(self, who: Principal, *, after: str | None = None, limit: int = 50, **wanted: Any) -> Page:
        """A page of somebody's inbox."""
        return await self.inbox.read(who, Wanted(**wanted), after=after, limit=limit)


Open = Callable[..., AbstractAsyncContextManager[Post]]


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000_000)


def opener(directory: Path, clock: Clock, **database: Any) -> Open:
    """Opens it on the same files each time it is called, so that restarts can be tested."""

    @asynccontextmanager
    async def opened(*, retention_age: float = 1e9, name: str = "log.db", **others: Any) -> AsyncIterator[Post]:
        application = Application(Settings(data_dir=directory, **database, **others))
        engine = _Engine(
            directory / name, retention_age=retention_age, retention_bytes=1 << 30, dedupe_window=1000, clock=clock
        )
        hub = Hub(engine, application.limits, presence_topics=(), presence_grace=1)
        store = application.identity.store
        post = Post(hub, store, clock)
        await store.open()
        await hub.start()
        await post.inbox.start()
        try:
            yield post
        finally:
            await post.inbox.stop()
            await hub.stop()
            await store.close()

    return opened


@pytest.fixture
def open_post(tmp_path: Path, clock: Clock, database: dict[str, Any]) -> Open:
    return opener(tmp_path, clock, **database)


@pytest.fixture
async def post(open_post: Open) -> AsyncIterator[Post]:
    async with open_post() as opened:
        yield opened


def ids(page: Page) -> list[str]:
    """The ids of a page's events."""
    return [json.loads(item.body)["id"] for item in page.items]
