"""The entries right before this node's start, in memory, for a while.

When nodes are restarted one after the other, each one's clients come back within seconds, to a node that has seen
nothing yet, and all of them missed the same last entries. Without this each would ask the stream for each of its
topics. Loaded once, never changed; what came after the start the hub keeps by itself (``hub.recent``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from heapq import merge

from hub.engine.nats_reader import PAGE_BYTES, Reader
from hub.engine.nats_stream import StreamState
from hub.errors import HubError
from hub.model import Entry, Page, Topic

log = logging.getLogger("hub.engine")

_MOST = 50_000
_MOST_BYTES = 16 << 20
_KEPT = 600.0
"""Seconds after which it is let go of."""


class Eve:
    """Entries after ``floor`` up to ``head``, by topic. Empty until loaded, and after a while again."""

    def __init__(self, reader: Reader, clock: Callable[[], float]) -> None:
        self._reader = reader
        self._clock = clock
        self._topics: dict[Topic, list[Entry]] = {}
        self.floor = self.head = 0

    async def load(self, floor: int, head: int) -> None:
        """Read what is to be held, and hold it for its time. Cancel it to end that."""
        entries: list[Entry] = []
        start = after = max(floor, head - _MOST)
        try:
            while after < head:
                page = await self._reader.scan(after, 1000)
                entries += [entry for entry in page.entries if entry.seq <= head]
                after = page.through
        except HubError as error:
            log.warning("what came before the start is not kept in memory: %s", error.detail)
            return
        size = 0
        for entry in reversed(entries):
            size += len(entry.body)
            if size > _MOST_BYTES:
                start = entry.seq
                break
        for entry in entries:
            if entry.seq > start:
                for topic in dict.fromkeys(entry.topics):
                    self._topics.setdefault(topic, []).append(entry)
        self.floor, self.head = start, head
        await asyncio.sleep(_KEPT)
        self.floor, self._topics = head, {}

    def covers(self, after: int) -> bool:
        """Whether every entry that follows ``after``, up to ``head``, is here."""
        return self.floor <= after < self.head

    def page(self, topics: Collection[Topic], after: int, limit: int, extent: StreamState) -> Page:
        """See ``Engine.read``; ``extent`` is how far the log goes by now."""
        now, floor = self._clock(), min(after, extent.floor)
        kept: list[Entry] = []
        size, last = 0, after
        runs = (self._topics[topic] for topic in dict.fromkeys(topics) if topic in self._topics)
        for entry in merge(*runs, key=lambda entry: entry.seq):
            if entry.seq <= last:
                continue  # It was read before, or lies under another of the topics, too.
            if len(kept) == limit or (size and size + len(entry.body) > PAGE_BYTES):
                return Page(kept, last, floor, more=True)
            last = entry.seq
            if entry.expires_at is None or entry.expires_at > now:
                size += len(entry.body)
                kept.append(entry)
        return Page(kept, self.head, floor, more=extent.head > self.head)
