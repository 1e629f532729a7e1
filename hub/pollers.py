"""Who waits for something new in a topic without a connection: the long polls."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

from hub.model import Topic


class Pollers:
    """Wakes those who listen; what is new, they read from the log."""

    def __init__(self) -> None:
        self._waiting: dict[Topic, set[asyncio.Event]] = {}
        self._over = False

    def __len__(self) -> int:
        return len(self._waiting)

    @contextmanager
    def listening(self, topics: Collection[Topic]) -> Iterator[asyncio.Event]:
        """An event that is set when something durable comes to one of the topics, or when it is all over."""
        news = asyncio.Event()
        names = set(topics)
        for topic in names:
            self._waiting.setdefault(topic, set()).add(news)
        if self._over:
            news.set()
        try:
            yield news
        finally:
            for topic in names:
                self._waiting[topic].discard(news)
                if not self._waiting[topic]:
                    del self._waiting[topic]

    def wake(self, topics: Iterable[Topic]) -> None:
        """Something came to these topics."""
        for topic in topics:
            for news in self._waiting.get(topic, ()):
                news.set()

    def wake_all(self) -> None:
        """It is all over: nobody waits any more."""
        self._over = True
        self.wake(list(self._waiting))
