"""The projection: in pieces that are bounded by bytes, too; how far it is behind; and nobody waits for it in vain."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from hub.inbox import projector
from hub.inbox.projection import Known, project
from hub.limits import Rate
from hub.metrics import HubCollector
from hub.model import Entry
from hub.transports.lobby import Lobby

from .conftest import Post, user

pytestmark = pytest.mark.anyio


async def test_large_events_are_not_in_memory_by_the_thousand(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    transactions: list[AsyncConnection] = []
    sizes: list[int] = []

    async def watched(db: AsyncConnection, some: Sequence[Entry], known: Known) -> None:
        if not transactions or transactions[-1] is not db:
            transactions.append(db)
            sizes.append(0)
        sizes[-1] += sum(len(entry.body) for entry in some)
        await project(db, some, known)

    monkeypatch.setattr(projector, "project", watched)
    await post.publish(*[{"data": "x" * 60_000}] * 300)
    assert (await post.page(user("alice"))).unread == 300
    assert sum(sizes) > 300 * 60_000
    assert max(sizes) < 4 << 20, "two megabytes and a page"


@pytest.mark.both_databases
async def test_while_it_writes_it_is_behind_and_where_many_can_write_logins_go_on(
    post: Post, database: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def held(db: AsyncConnection, some: Sequence[Entry], known: Known) -> None:
        began.set()
        await go_on.wait()
        await project(db, some, known)

    def lag() -> float:
        collector = HubCollector(post.hub, post.inbox, Lobby(0, Rate(0, 1), lambda _: False))
        [found] = [family for family in collector.collect() if family.name == "hub_inbox_lag"]
        value: float = found.samples[0].value
        return value

    assert lag() == 0
    monkeypatch.setattr(projector, "project", held)
    await post.publish({}, {}, {})
    await began.wait()
    assert lag() == 3
    if database:
        async with asyncio.timeout(5), post.store.write():
            pass
    go_on.set()
    assert (await post.page(user("alice"))).unread == 3
    assert lag() == 0
