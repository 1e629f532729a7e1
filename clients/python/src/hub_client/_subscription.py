"""``AsyncSubscription`` and ``Subscription``: a backend that works through events, one after the other."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from types import TracebackType
from typing import Literal, Self

from hub_client._auth import TokenCallable
from hub_client._client import AsyncClient
from hub_client._cursors import CursorStore
from hub_client._models import Event, Reset
from hub_client._sync import Client

log = logging.getLogger("hub_client")


class AsyncSubscription:
    """For services: the events of topics, from the place where this program was when it ended.

    ::

        place = CursorFile("orders.cursor")
        async with AsyncSubscription(url, "orders", place, service_id=…, service_secret=…) as events:
            async for event in events:
                await handle(event)

    An event is done, and its cursor saved, when the next one is asked for, or the block is left without an exception.
    So a program that is killed begins with the event that it was at: at least once, and exactly once if ``handle`` can
    be repeated. Without a stored cursor it begins with the oldest event that is retained (``start="now"``: with what
    comes next). Where events are gone for good (it was away for longer than the hub keeps them), that is logged as an
    error, and ``on_reset`` is called.

    Two programs with the same place are not one queue: each gets every event.
    """

    def __init__(
        self,
        url: str,
        topics: str | Iterable[str],
        cursor: CursorStore,
        *,
        start: Literal["earliest", "now"] = "earliest",
        service_id: str | None = None,
        service_secret: str | None = None,
        username: str | None = None,
        password: str | None = None,
        token: str | TokenCallable | None = None,
        open_timeout: float | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._place = _Place(cursor)
        self._client = AsyncClient(
            url,
            topics=topics,
            after=self._place.stored or ("earliest" if start == "earliest" else None),
            service_id=service_id,
            service_secret=service_secret,
            username=username,
            password=password,
            token=token,
            open_timeout=open_timeout,
            tls=tls,
        )
        self._client.on_reset(_tell_gap)

    @property
    def client(self) -> AsyncClient:
        """The client beneath, for ``on_reset``, ``publish`` and the like."""
        return self._client

    async def __aenter__(self) -> Self:
        """Connect; waits for a hub that is away. Raises ``Rejected``."""
        await self._client.start()
        self._place.begin(self._client.cursor)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._place.done()
        await self._client.close()

    async def __aiter__(self) -> AsyncIterator[Event]:
        async for event in self._client:
            self._place.at(event)
            yield event
            self._place.done()


class Subscription:
    """``AsyncSubscription`` without ``await``; see there."""

    def __init__(
        self,
        url: str,
        topics: str | Iterable[str],
        cursor: CursorStore,
        *,
        start: Literal["earliest", "now"] = "earliest",
        service_id: str | None = None,
        service_secret: str | None = None,
        username: str | None = None,
        password: str | None = None,
        token: str | TokenCallable | None = None,
        open_timeout: float | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._place = _Place(cursor)
        self._client = Client(
            url,
            topics=topics,
            after=self._place.stored or ("earliest" if start == "earliest" else None),
            service_id=service_id,
            service_secret=service_secret,
            username=username,
            password=password,
            token=token,
            open_timeout=open_timeout,
            tls=tls,
        )
        self._client._client.on_reset(_tell_gap)

    @property
    def client(self) -> Client:
        """The client beneath."""
        return self._client

    def __enter__(self) -> Self:
        """Connect."""
        self._client.start()
        self._place.begin(self._client.cursor)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._place.done()
        self._client.close()

    def __iter__(self) -> Iterator[Event]:
        for event in self._client:
            self._place.at(event)
            yield event
            self._place.done()


class _Place:
    """The cursor of the event that is being dealt with, and the one that is saved."""

    def __init__(self, store: CursorStore) -> None:
        self._store = store
        self._current: str | None = None
        self.stored = store.load()

    def begin(self, cursor: str | None) -> None:
        """A program that is killed before its first event is not to lose its place, either."""
        if self.stored is None and cursor is not None and cursor != "earliest":
            self._save(cursor)

    def at(self, event: Event) -> None:
        self._current = event.cursor

    def done(self) -> None:
        if self._current is not None and self._current != self.stored:
            self._save(self._current)

    def _save(self, cursor: str) -> None:
        self._store.save(cursor)
        self.stored = cursor


def _tell_gap(gap: Reset) -> None:
    log.error("Events before %s are gone for good (%s): this program was away for too long", gap.cursor, gap.reason)
