"""``Buffer``: the asynchronous one, for scripts and threads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from concurrent.futures import CancelledError, Future
from types import TracebackType
from typing import Any, Self

from hub_client._buffer import AsyncBuffer
from hub_client._models import Json, NewEvent, Priority, Receipt, said
from hub_client._portal import Portal


class Buffer:
    """``AsyncBuffer`` without ``await``; see there for guarantees and errors. Made by ``Publisher.buffer``."""

    def __init__(self, buffer: AsyncBuffer, portal: Portal) -> None:
        self._buffer = buffer
        self._portal = portal

    def __repr__(self) -> str:
        return repr(self._buffer).replace("Async", "", 1)

    def __len__(self) -> int:
        """Events that are not acknowledged yet."""
        return len(self._buffer)

    @property
    def pending_bytes(self) -> int:
        """Bytes (of JSON) that are not acknowledged yet."""
        return self._buffer.pending_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(
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
    ) -> Future[Receipt]:
        """Add an event. The future may be ignored."""
        return self.add_event(
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

    def add_event(self, event: NewEvent | Mapping[str, Any]) -> Future[Receipt]:
        """Add an event."""
        outer: Future[Receipt] = Future()
        outer.set_running_or_notify_cancel()  # It cannot be taken back.

        def pass_on(done: asyncio.Future[Receipt]) -> None:
            error = CancelledError() if done.cancelled() else done.exception()
            if error is None:
                outer.set_result(done.result())
            else:
                outer.set_exception(error)

        async def add() -> None:
            (await self._buffer.add_event(event)).add_done_callback(pass_on)

        self._portal.call(add)
        return outer

    def flush(self) -> None:
        """Wait until all that was added before is settled."""
        self._portal.call(self._buffer.flush)

    def close(self) -> None:
        """Publish what waits, and end."""
        self._portal.call(self._buffer.close)

    def unsent(self) -> list[NewEvent]:
        """The events that are not acknowledged."""
        return self._buffer.unsent()
