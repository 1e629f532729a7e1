"""``GET /v1/overview``: one node at a glance, for operators and the page that draws it live.

Made at most once a second, however many watch: it goes over all connections and topics, some ten milliseconds for a
hundred thousand. Rates and latencies are of the last seconds, from what the counters said at earlier looks.
"""

from __future__ import annotations

import heapq
import os
import time
from collections import deque
from importlib.metadata import version
from pathlib import Path
from typing import Literal, NamedTuple

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from hub import metrics, tenancy
from hub.errors import HubError
from hub.histogram import quantile
from hub.hub import Hub
from hub.model import Principal
from hub.session import Session
from hub.transports.credentials import PrincipalDependency, administrator
from hub.transports.problem import UNAUTHORIZED, responses

_FRESH = 1.0
"""Seconds for which an answer is good."""
_WINDOW = 30.0
"""Seconds that rates and latencies look back at most."""
_TOP = 10


class Rates(BaseModel):
    """Per second."""

    events: float = Field(description="Accepted.")
    deliveries: float = Field(description="Handed to connections: events times connections.")
    opened: float = Field(description="Connections let in.")


class Latency(BaseModel):
    """Seconds: the upper ends of the buckets (docs/metrics.md) in which the shares end. Null: nothing happened."""

    p50: float | None
    p99: float | None


class Latencies(BaseModel):
    """Of the last seconds."""

    publish: Latency = Field(description="From handed to the log until it is there.")
    delivery: Latency = Field(description="From accepted, on any node, until fanned out on this one.")
    loop_lag: Latency = Field(description="How late the event loop is.")


class Connections(BaseModel):
    """Open now, by transport and state."""

    transport: Literal["websocket", "sse"]
    state: Literal["live", "catching_up", "blocked"]
    count: int


class Slow(BaseModel):
    """A connection for which bytes wait."""

    id: str
    tenant: str
    source: str
    address: str
    waiting: int = Field(description="Bytes, in the hub and in its transport.")


class Busy(BaseModel):
    """A topic and its connections. Users' own topics are left out."""

    tenant: str
    topic: str
    subscribers: int


class Log(BaseModel):
    """The log, as this node sees it."""

    head: int = Field(description="Entries so far.")
    floor: int = Field(description="Those up to here are no longer retained.")
    bytes: int
    lag: int = Field(description="Entries that this node has not fanned out yet.")


class Overview(BaseModel):
    """One node at a glance. Totals count from its start on."""

    version: str
    engine: Literal["embedded", "nats"]
    nodes: int = Field(description="Hubs that share the log, this one included, as far as it knows.")
    uptime: float = Field(description="Seconds.")
    draining: bool
    memory: int | None = Field(description="Bytes that the process holds; null where the system does not say.")
    connections: list[Connections]
    topics: int
    events: int = Field(description="Accepted since the start.")
    deliveries: int = Field(description="Handed to connections since the start.")
    rates: Rates
    latency: Latencies
    log: Log
    slow: list[Slow] = Field(description="The slowest first, ten at most.")
    top_topics: list[Busy] = Field(description="Those with the most connections, ten at most.")


class _Look(NamedTuple):
    """What the counters said at a moment (monotonic)."""

    at: float
    events: int
    deliveries: int
    opened: int
    publish: tuple[int, ...]
    delivery: tuple[int, ...]
    loop_lag: tuple[int, ...]


class Observer:
    """Looks at one hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._started = time.monotonic()
        self._looks: deque[_Look] = deque([self._look()])
        self._last: Overview | None = None

    def overview(self) -> Overview:
        """As it is now, or was within the last second."""
        if self._last is None or time.monotonic() - self._looks[-1].at >= _FRESH:
            now = self._look()
            while len(self._looks) > 1 and now.at - self._looks[0].at > _WINDOW:
                self._looks.popleft()
            self._last = self._made(self._looks[-1], self._looks[0], now)
            self._looks.append(now)
        return self._last

    def _look(self) -> _Look:
        hub, counters = self._hub, self._hub.counters
        return _Look(
            time.monotonic(), counters.published, hub.offered, counters.opened,
            counters.publish_seconds.counts(), hub.delays.histogram.counts(), counters.loop_lag_seconds.counts(),
        )  # fmt: skip

    def _made(self, last: _Look, oldest: _Look, now: _Look) -> Overview:
        hub = self._hub
        seconds = max(now.at - last.at, 1e-3)
        states, _ = metrics.states(hub)
        return Overview(
            version=version("notification-hub"),
            engine=metrics.engine_name(hub.engine),
            nodes=hub.engine.nodes,
            uptime=now.at - self._started,
            draining=hub.draining,
            memory=_memory(),
            connections=[
                Connections(transport=transport, state=state, count=states[transport, state])
                for transport in metrics.TRANSPORTS
                for state in metrics.STATES
            ],
            topics=hub.registry.topic_count,
            events=now.events,
            deliveries=now.deliveries,
            rates=Rates(
                events=(now.events - last.events) / seconds,
                deliveries=(now.deliveries - last.deliveries) / seconds,
                opened=(now.opened - last.opened) / seconds,
            ),
            latency=Latencies(
                publish=_latency(oldest.publish, now.publish),
                delivery=_latency(oldest.delivery, now.delivery),
                loop_lag=_latency(oldest.loop_lag, now.loop_lag),
            ),
            log=Log(
                head=hub.engine.head,
                floor=hub.engine.floor,
                bytes=hub.engine.size,
                lag=metrics.tail_lag(hub),
            ),
            slow=_slow(hub),
            top_topics=[
                Busy(tenant=tenancy.tenant_of(topic), topic=tenancy.local(topic), subscribers=count)
                for topic, count in hub.registry.largest(_TOP)
            ],
        )


def router(hub: Hub, principal: PrincipalDependency) -> APIRouter:
    """The route; ``principal`` is a dependency that finds the caller."""
    routes = APIRouter(tags=["operations"])
    observer = Observer(hub)
    operator = Depends(administrator(principal))

    @routes.get(
        "/v1/overview",
        summary="This node at a glance: for operators",
        responses=responses(*UNAUTHORIZED, "forbidden"),
    )
    async def overview(caller: Principal = operator) -> Overview:
        if caller.tenant != tenancy.DEFAULT:
            raise HubError("forbidden", "Only an operator, an administrator without a tenant, may see all of the hub.")
        return observer.overview()

    return routes


def _latency(before: tuple[int, ...], now: tuple[int, ...]) -> Latency:
    counts = tuple(after - earlier for earlier, after in zip(before, now, strict=True))
    return Latency(p50=quantile(counts, 0.5), p99=quantile(counts, 0.99))


def _slow(hub: Hub) -> list[Slow]:
    def waiting(session: Session) -> int:
        return session.outbox.queued_bytes + session.link.pending()

    slowest = heapq.nlargest(_TOP, hub.registry, key=waiting)
    return [
        Slow(
            id=session.id,
            tenant=session.principal.tenant,
            source=session.principal.shown_source,
            address=session.address,
            waiting=waiting(session),
        )
        for session in slowest
        if waiting(session)
    ]


def _memory() -> int | None:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
