"""An engine for tests of what is around it: nothing is written anywhere, and all comes when the test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from hub.engine.base import Sink
from hub.model import Draft, Entry, Page, Receipt, Topic


class ListEngine:
    """A log that is a list. What is appended is delivered when the test says so; a page takes as long as it says."""

    epoch = "e"
    floor = size = refilled = 0
    nodes = 1
    inherited: Mapping[str, int] = MappingProxyType({})

    def __init__(self) -> None:
        self.log: list[Entry] = []
        self.delay = 0
        self._sink: Sink | None = None

    @property
    def head(self) -> int:
        return len(self.log)

    @property
    def reach(self) -> int:
        return self.head

    async def start(self, sink: Sink) -> None:
        self._sink = sink

    async def stop(self) -> None:
        pass

    async def append(self, drafts: Sequence[Draft]) -> list[Receipt]:
        raise NotImplementedError

    async def read(self, topics: Collection[Topic], after: int | None, limit: int) -> Page:
        assert after is not None
        found = [entry for entry in self.log[after:] if not set(topics).isdisjoint(entry.topics)]
        page, more, head = found[:limit], len(found) > limit, self.head
        for _ in range(self.delay):
            await asyncio.sleep(0)
        return Page(page, page[-1].seq if more else head, 0, more)

    async def scan(self, after: int, limit: int) -> Page:
        raise NotImplementedError

    def signal(self, draft: Draft) -> None:
        assert self._sink is not None
        self._sink.signal(draft)

    def touch(self, topic: Topic, user: str) -> None:
        pass

    def leave(self, topic: Topic, user: str) -> None:
        pass

    def members(self, topic: Topic) -> frozenset[str]:
        return frozenset()

    async def probe(self) -> None:
        pass
