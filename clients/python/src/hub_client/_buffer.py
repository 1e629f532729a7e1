"""``AsyncBuffer``: many events a second in few requests, in order, in bounded memory, and none lost in silence."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from hub_client._backlog import Backlog, Waiting, batch_of
from hub_client._batch import Batch, split
from hub_client._errors import PublishFailed, Refused
from hub_client._frames import encode
from hub_client._models import Json, NewEvent, Priority, Receipt, as_event, said
from hub_client._signal import Signal

log = logging.getLogger("hub_client")

OnFailed = Callable[[NewEvent, Exception], object]
Send = Callable[[Batch, str], Awaitable[list[Receipt]]]

# Of those that failed, so many ids are kept for `flush`; each of them was told to `on_failed` anyway.
_KEPT_FAILURES = 10_000

_Item = Waiting["asyncio.Future[Receipt]"]


class AsyncBuffer:
    """Batches what is added, and publishes it in the background; made by ``AsyncPublisher.buffer``.

    ::

        async with publisher.buffer() as buffer:
            for reading in readings:
                await buffer.add("reading", reading, topics=["sensors:1"])

    ``add`` waits only while ``max_bytes`` are taken: that is the back-pressure of a hub that is slow or away. A request
    goes as soon as one is full, or ``linger`` seconds after its first event. Requests go one after the other, so events
    are in the log in the order in which they were added. Those that are not acknowledged are tried again, under their
    ids, until they are, or until ``close`` gives up. An event that the hub refuses does not hold up the others.

    Each event ends in one of three ways: its future has a receipt; its future has an exception, ``on_failed`` is called
    (by default that is logged as an error), and the next ``flush`` or ``close`` raises ``PublishFailed`` with its id;
    or it is among ``unsent()`` after a ``close`` that raised. Ephemeral events are not tried again once they may have
    been sent.
    """

    def __init__(
        self,
        send: Send,
        *,
        linger: float,
        max_bytes: int,
        batch_events: int,
        batch_bytes: int,
        close_timeout: float,
        on_failed: OnFailed | None,
    ) -> None:
        self._post = send
        self._linger = linger
        self._close_timeout = close_timeout
        self._on_failed = on_failed or _log_failure
        self._backlog: Backlog[asyncio.Future[Receipt]] = Backlog(max_bytes, batch_events, batch_bytes)
        self._changed = Signal()
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._hurry = 0
        self._closed = False
        self._broken: Exception | None = None
        self._failures: deque[tuple[str, Exception]] = deque(maxlen=_KEPT_FAILURES)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {len(self)} events, {self.pending_bytes} bytes>"

    def __len__(self) -> int:
        """Events that are not acknowledged yet."""
        return len(self._backlog)

    @property
    def pending_bytes(self) -> int:
        """Bytes (of JSON) that are not acknowledged yet."""
        return self._backlog.size

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def add(
        self,
        type: str | object,
        data: Json = None,
        *,
        users: Iterable[str] = (),
        topics: Iterable[str] = (),
        all: bool = False,
        id: str | None = None,
        durable: bool = True,
        ttl: float | None = None,
        collapse_key: str | None = None,
        priority: Priority | None = None,
        display: Mapping[str, str] | None = None,
        exclude: Iterable[str] = (),
    ) -> asyncio.Future[Receipt]:
        """Add an event; see ``NewEvent`` for the arguments. The future may be ignored."""
        return await self.add_event(
            NewEvent(
                *said(type, data),
                users,
                topics,
                all,
                id,
                durable,
                ttl,
                exclude,
                collapse_key=collapse_key,
                priority=priority,
                display=display,
            )
        )

    async def add_event(self, event: NewEvent | Mapping[str, Any]) -> asyncio.Future[Receipt]:
        """Add an event (a mapping has the fields of ``NewEvent``).

        Raises RuntimeError after ``close``, ``Rejected`` once the hub has refused the credentials.
        """
        event = as_event(event).with_id()
        text = encode(event.body())  # Raises here what cannot be said in JSON.
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        # Whoever does not look at it is told of a failure in another way.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        item = Waiting(event, text, future)
        async with self._turn:  # Those who wait for room get it in the order in which they came.
            await self._changed.until(lambda: self._is_over or self._backlog.has_room_for(item.size))
            self._require_open()
            self._backlog.add(item)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="hub-client-buffer")
        self._changed.notify()
        return future

    async def flush(self) -> None:
        """Wait until all that was added before is settled; raises ``PublishFailed`` if something failed since the last.

        Waits for a hub that is away, for as long as that takes; bound it with ``asyncio.timeout``.
        """
        waiting = [item.told for item in self._backlog]
        self._hurry += 1
        self._changed.notify()
        try:
            if waiting:
                await asyncio.wait(waiting)
        finally:
            self._hurry -= 1
        self._raise_failures()

    async def close(self) -> None:
        """Publish what waits, for ``close_timeout`` seconds at most, and end. Safe to call twice.

        Raises ``PublishFailed`` if something failed since the last ``flush``, or could not be published in time: the
        events of these ids are then ``unsent()``, and may be published again later.
        """
        self._closed = True
        self._changed.notify()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=self._close_timeout)
            if not self._task.done():
                self._task.cancel()
                await asyncio.wait([self._task])
        for item in self._backlog:
            self._fail(
                item, self._broken or TimeoutError(f"not acknowledged within {self._close_timeout} s of closing")
            )
        self._raise_failures()

    def unsent(self) -> list[NewEvent]:
        """The events, with their ids, that are not acknowledged: after ``close``, those that it gave up."""
        return [item.event for item in self._backlog]

    # --- Inside

    @property
    def _is_over(self) -> bool:
        return self._closed or self._broken is not None

    def _require_open(self) -> None:
        if self._broken is not None:
            raise self._broken
        if self._closed:
            raise RuntimeError("the buffer is closed")

    async def _run(self) -> None:
        while True:
            await self._changed.until(lambda: self._backlog or self._closed)
            if not self._backlog:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(self._linger):
                    await self._changed.until(self._is_due)
            try:
                await self._send(self._backlog.next())
            except PublishFailed as failed:
                log.warning("%s; %d events wait, trying again", failed, len(self._backlog))
            except Exception as broken:  # The credentials were refused, as a rule.
                self._broken = broken
                for item in self._backlog:
                    self._fail(item, broken)
                self._changed.notify()
                return

    def _is_due(self) -> bool:
        return self._backlog.fills_a_request or self._hurry > 0 or self._closed

    async def _send(self, items: list[_Item]) -> None:
        """Publish the oldest ones. Returns once all of them are settled, each by a receipt or a refusal."""
        todo = deque([items])
        while todo:
            part = todo.popleft()
            batch = batch_of(part)
            try:
                receipts = await self._post(batch, batch.array)
            except Refused as refused:
                if refused.status == 401:
                    raise
                if len(part) > 1:  # None of them was taken.
                    todo.extendleft(reversed(split(part, refused.index)))
                    continue
                self._fail(part[0], refused)
            except PublishFailed as failed:
                if batch.durable:
                    raise
                for item in part:
                    self._fail(item, failed)
            else:
                for item, receipt in zip(part, receipts, strict=True):
                    if not item.told.done():
                        item.told.set_result(receipt)
            self._settle(len(part))

    def _settle(self, count: int) -> None:
        self._backlog.settle(count)
        self._changed.notify()

    def _fail(self, item: _Item, error: Exception) -> None:
        if item.told.done() and not item.told.cancelled():
            return
        if not item.told.done():
            item.told.set_exception(error)
        self._failures.append((item.event.id or "", error))
        try:
            self._on_failed(item.event, error)
        except Exception:
            log.exception("on_failed failed")

    def _raise_failures(self) -> None:
        failures, self._failures = self._failures, deque(maxlen=_KEPT_FAILURES)
        if failures:
            ids = [id for id, _ in failures]
            raise PublishFailed(f"{len(ids)} events were not published: {failures[0][1]}", ids) from failures[0][1]


def _log_failure(event: NewEvent, error: Exception) -> None:
    log.error("The event %s of type %s was not published: %s", event.id, event.type, error)
