"""The projection takes the log in pieces that are bounded by bytes, too."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from hub.inbox import projector
from hub.inbox.projection import Known, project
from hub.model import Entry

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
