"""``Publisher``: the asynchronous one, for scripts and threads."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from hub_client._auth import TokenCallable
from hub_client._batch import MAX_BYTES, MAX_EVENTS, Batch
from hub_client._buffer import OnFailed
from hub_client._models import Json, NewEvent, Priority, Receipt
from hub_client._portal import NoLoop, Portal
from hub_client._publisher import BUFFER_BYTES, AsyncPublisher
from hub_client._sync_buffer import Buffer


class Publisher:
    """``AsyncPublisher`` without ``await``; see there for arguments, guarantees and errors.

    May be used from several threads, and made before a process forks, as servers do, if it is first used after that.
    """

    def __init__(
        self,
        url: str,
        *,
        service_id: str | None = None,
        service_secret: str | None = None,
        username: str | None = None,
        password: str | None = None,
        token: str | TokenCallable | None = None,
        timeout: float = 30,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._publisher = AsyncPublisher(
            url,
            service_id=service_id,
            service_secret=service_secret,
            username=username,
            password=password,
            token=token,
            timeout=timeout,
            tls=tls,
        )
        self._portal = Portal()

    def __repr__(self) -> str:
        return repr(self._publisher).replace("Async", "", 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Safe to call twice."""
        with suppress(NoLoop):
            self._portal.call(self._publisher.close)
        self._portal.close()

    def publish(
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
    ) -> Receipt:
        """Publish one event."""
        return self._portal.call(
            lambda: self._publisher.publish(
                type,
                data,
                users=users,
                topics=topics,
                all=all,
                id=id,
                durable=durable,
                ttl=ttl,
                collapse_key=collapse_key,
                priority=priority,
                display=display,
                exclude=exclude,
            )
        )

    def publish_many(self, events: Iterable[NewEvent | Mapping[str, Any]]) -> list[Receipt]:
        """Publish events, in order; a receipt for each."""
        return self._portal.call(lambda: self._publisher.publish_many(events))

    def buffer(
        self,
        *,
        linger: float = 0.01,
        max_bytes: int = BUFFER_BYTES,
        batch_events: int = MAX_EVENTS,
        batch_bytes: int = MAX_BYTES,
        close_timeout: float = 30,
        on_failed: OnFailed | None = None,
    ) -> Buffer:
        """A buffer that publishes what is added to it in batches, in the background. ``on_failed`` runs over there."""
        return Buffer(
            self._publisher.buffer(
                linger=linger,
                max_bytes=max_bytes,
                batch_events=batch_events,
                batch_bytes=batch_bytes,
                close_timeout=close_timeout,
                on_failed=on_failed,
            ),
            self._portal,
        )

    def _send(self, batch: Batch) -> list[Receipt]:
        """For the outbox, which has its own batches."""
        return self._portal.call(lambda: self._publisher._send(batch, batch.array))
