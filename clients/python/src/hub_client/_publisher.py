"""``AsyncPublisher``: publish over HTTP; acknowledged means in the log, and trying again delivers once."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from hub_client._auth import TokenCallable
from hub_client._batch import MAX_BYTES, MAX_EVENTS, Batch
from hub_client._buffer import AsyncBuffer, OnFailed
from hub_client._calls import Calls
from hub_client._errors import PublishFailed, Refused, Rejected, Unavailable
from hub_client._models import Json, NewEvent, Priority, Receipt, as_event, said
from hub_client._retry import Doubt, Retry

# What a buffer holds by default, in bytes of JSON.
BUFFER_BYTES = 16 << 20


class AsyncPublisher:
    """A backend's way to the hub.

    ::

        async with AsyncPublisher("https://hub.example.com", service_id="shop", service_secret=…) as publisher:
            await publisher.publish("order.paid", {"order": 7}, users=["alice"], id="order-7-paid")

    Credentials are those of ``AsyncClient``. Every event has an id, and is tried again under the same id after
    connection errors, time-outs, 429 and 5xx, with exponential full jitter and as the hub's ``Retry-After`` asks, and
    once with a fresh token after 401, until ``timeout`` seconds are over: then ``PublishFailed``, which names the
    ids, for later. So a hub that restarts meanwhile is no error. An ephemeral event (``durable=False``) is not
    deduplicated by the hub, and so is tried again only where it surely was not sent.

    Connections are kept alive and reused; one instance serves many tasks of one event loop. Raises ``Refused`` where
    the hub refuses the event, ``Rejected`` where it refuses the credentials, ValueError and TypeError for what cannot
    be an event.
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
        self._calls = Calls(
            url,
            retry=Retry(timeout),
            tls=tls,
            username=username,
            password=password,
            token=token,
            service_id=service_id,
            service_secret=service_secret,
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._calls.address.base}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. Safe to call twice."""
        await self._calls.close()

    async def publish(
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
        """Publish one event; see ``NewEvent`` for the arguments."""
        event = NewEvent(
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
        batch = Batch.of([event.with_id()])
        [receipt] = await self._send(batch, batch.texts[0])
        return receipt

    async def publish_many(self, events: Iterable[NewEvent | Mapping[str, Any]]) -> list[Receipt]:
        """Publish events (mappings have the fields of ``NewEvent``), in order; a receipt for each.

        They go in requests of up to 1,000 events or 4 MiB, each of which the hub takes as a whole or not at all.
        ``PublishFailed`` names all that were not acknowledged and holds the receipts of those before.
        """
        batch = Batch.of([as_event(event).with_id() for event in events])
        receipts: list[Receipt] = []
        for part in batch.parts():
            try:
                receipts += await self._send(part, part.array)
            except Refused as refused:
                if refused.index is not None:
                    refused.index += len(receipts)
                raise
            except PublishFailed as failed:
                raise PublishFailed(str(failed), batch.ids[len(receipts) :], receipts) from failed.__cause__
        return receipts

    def buffer(
        self,
        *,
        linger: float = 0.01,
        max_bytes: int = BUFFER_BYTES,
        batch_events: int = MAX_EVENTS,
        batch_bytes: int = MAX_BYTES,
        close_timeout: float = 30,
        on_failed: OnFailed | None = None,
    ) -> AsyncBuffer:
        """A buffer that publishes what is added to it in batches, in the background; see ``AsyncBuffer``.

        ``linger``: seconds that the first event of a request waits for others. ``max_bytes``: of JSON that may wait
        before ``add`` does. ``batch_events``, ``batch_bytes``: of one request, at most (the default) 1,000 and 4 MiB.
        ``close_timeout``: seconds that leaving it may take. ``on_failed``: called with each event that was not
        published, and why. Close it before the publisher.
        """
        return AsyncBuffer(
            self._send,
            linger=linger,
            max_bytes=max_bytes,
            batch_events=batch_events,
            batch_bytes=batch_bytes,
            close_timeout=close_timeout,
            on_failed=on_failed,
        )

    async def _send(self, batch: Batch, body: str) -> list[Receipt]:
        doubt = Doubt()
        try:
            answer = await self._calls.retry.run(lambda: self._post(body, doubt), may_repeat=batch.durable)
        except (Unavailable, Rejected) as error:
            if isinstance(error, Rejected) and not doubt.exists:
                raise
            raise PublishFailed(f"not acknowledged: {error}", batch.ids) from error
        return [Receipt.from_json(receipt) for receipt in (answer if isinstance(answer, list) else [answer])]

    async def _post(self, body: str, doubt: Doubt) -> Any:
        """The hub's answer; raises ``Refused``, ``Rejected`` or ``Unavailable``."""

        async def post(token: str) -> Any:
            with doubt.about():
                return await self._calls.http.post("/v1/events", body, token)

        return await self._calls.authorized(post)
