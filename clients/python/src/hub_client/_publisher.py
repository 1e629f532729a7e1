"""``AsyncPublisher``: publish over HTTP; acknowledged means in the log, and trying again delivers once."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from hub_client._auth import TokenCallable
from hub_client._calls import Calls
from hub_client._errors import PublishFailed, Rejected, Unavailable
from hub_client._frames import encode
from hub_client._models import Json, NewEvent, Receipt
from hub_client._retry import Doubt, Retry

# One request: what the hub takes (docs/protocol.md, section 2), and half of its default ``max_request_bytes``.
_MAX_EVENTS = 1000
_MAX_BYTES = 4 << 20


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
        type: str,
        data: Json = None,
        *,
        users: Iterable[str] = (),
        topics: Iterable[str] = (),
        all: bool = False,
        id: str | None = None,
        durable: bool = True,
        ttl: float | None = None,
        exclude: Iterable[str] = (),
    ) -> Receipt:
        """Publish one event; see ``NewEvent`` for the arguments."""
        event = NewEvent(type, data, users, topics, all, id, durable, ttl, exclude)
        batch = _Batch.of([event.with_id()])
        [receipt] = await self._send(batch, batch.texts[0])
        return receipt

    async def publish_many(self, events: Iterable[NewEvent | Mapping[str, Any]]) -> list[Receipt]:
        """Publish events (mappings have the fields of ``NewEvent``), in order; a receipt for each.

        They go in requests of up to 1,000 events or 4 MiB, each of which the hub takes as a whole or not at all.
        ``PublishFailed`` names all that were not acknowledged and holds the receipts of those before.
        """
        batch = _Batch.of([_as_event(event).with_id() for event in events])
        receipts: list[Receipt] = []
        for part in batch.parts():
            try:
                receipts += await self._send(part, f"[{','.join(part.texts)}]")
            except PublishFailed as failed:
                raise PublishFailed(str(failed), batch.ids[len(receipts) :], receipts) from failed.__cause__
        return receipts

    async def _send(self, batch: _Batch, body: str) -> list[Receipt]:
        doubt = Doubt()

        async def post(token: str) -> Any:
            with doubt.about():
                return await self._calls.http.post("/v1/events", body, token)

        try:
            answer = await self._calls.retry.run(lambda: self._calls.authorized(post), may_repeat=batch.durable)
        except (Unavailable, Rejected) as error:
            if isinstance(error, Rejected) and not doubt.exists:
                raise
            raise PublishFailed(f"not acknowledged: {error}", batch.ids) from error
        return [Receipt.from_json(receipt) for receipt in (answer if isinstance(answer, list) else [answer])]


@dataclass(frozen=True, slots=True)
class _Batch:
    """Events as JSON texts, encoded once, with their ids; ``durable``: all of them are."""

    ids: Sequence[str]
    texts: Sequence[str]
    durable: bool

    @classmethod
    def of(cls, events: Sequence[NewEvent]) -> _Batch:
        texts = [encode(event.body()) for event in events]
        return cls([event.id or "" for event in events], texts, all(event.durable for event in events))

    def parts(self) -> Iterator[_Batch]:
        """What goes in one request each."""
        start = size = 0
        for end, text in enumerate(self.texts):
            length = len(text.encode()) + 1
            if end > start and (end - start == _MAX_EVENTS or size + length > _MAX_BYTES):
                yield replace(self, ids=self.ids[start:end], texts=self.texts[start:end])
                start, size = end, 0
            size += length
        if self.texts:
            yield replace(self, ids=self.ids[start:], texts=self.texts[start:])


def _as_event(event: NewEvent | Mapping[str, Any]) -> NewEvent:
    return event if isinstance(event, NewEvent) else NewEvent(**event)
