"""What is published in one phase: as fast as it is taken, or one event at a time at a given rate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from hub.bench import wire
from hub.bench.crew import Crew
from hub.bench.durations import Durations
from hub.bench.options import MOST_DURABLE
from hub.bench.publisher import Lane
from hub.bench.target import Target

_STALLED = 5.0
"""Seconds without room for another event, after which a phase ends: events were lost, or a subscriber was."""
_SPIN = 0.002
"""Seconds before an event is due at which waiting turns into looking at the clock; timers are that coarse."""


class Load:
    """The publishing side of a phase. Use as a context manager: it ends the connections.

    ``subscribers`` get each event; ``ttl`` makes events durable.
    """

    def __init__(
        self, target: Target, topic: str, marked: bytes, crew: Crew, *, subscribers: int, lanes: int, ttl: float | None
    ) -> None:
        self._target = target
        self._topic = topic
        self._marked = marked
        self._crew = crew
        self._subscribers = subscribers
        self._ttl = ttl
        tls = target.tls()
        self._lanes = [Lane(target, tls) for _ in range(lanes)]
        self._acknowledged = 0
        self.published = dict.fromkeys(range(lanes), 0)
        """Events by lane."""
        self.answers = Durations()
        """From when an event was due to its 2xx."""
        self.last = b""
        """The last answer."""

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        for lane in self._lanes:
            lane.close()

    @property
    def total(self) -> int:
        """Events published so far."""
        return sum(self.published.values())

    @property
    def expected(self) -> int:
        """Deliveries that they make."""
        return self.total * self._subscribers

    async def post(self, lane: int = 0, *, batch: int = 1, due: int | None = None) -> None:
        """Publish once on a lane, one event or an array; raises ``BenchError``."""
        first = self.published[lane]
        self.published[lane] += batch
        moment = wire.stamp() if due is None else due
        texts = [
            wire.publication(
                self._topic, wire.data(self._marked, wire.token(lane, first + offset), moment), ttl=self._ttl
            )
            for offset in range(batch)
        ]
        body = texts[0] if batch == 1 else b"[" + b",".join(texts) + b"]"
        self.last = await self._lanes[lane].post(wire.post(self._target, "/v1/events", body))
        self._acknowledged += batch
        self.answers.add(wire.stamp() - moment)

    async def flat_out(self, seconds: float, *, batch: int, window: int) -> float:
        """On all lanes, as fast as the hub answers, at most ``window`` events ahead of the subscribers; returns the
        acknowledged events a second.
        """
        began = time.monotonic()
        most = MOST_DURABLE if self._ttl is not None else None
        # All lanes may find room at the same moment.
        ahead = window - batch * len(self._lanes)
        going = True

        async def go(lane: int) -> None:
            nonlocal going
            while going and time.monotonic() - began < seconds and (most is None or self.total + batch <= most):
                going = await self._room(ahead)
                if going:
                    await self.post(lane, batch=batch)

        await _together(go, len(self._lanes))
        return self._acknowledged / (time.monotonic() - began)

    async def paced(self, rate: float, seconds: float) -> None:
        """One event at a time. Each carries the moment at which it was due, so that it counts if it was late."""
        gap = round(1e6 / rate)
        begin = wire.stamp() + gap
        dues = iter(range(begin, begin + round(seconds * 1e6), gap))

        async def go(lane: int) -> None:
            for due in dues:
                await _at(due)
                await self.post(lane, due=due)

        await _together(go, len(self._lanes))

    async def _room(self, ahead: int) -> bool:
        return await self._crew.until(self.expected - ahead * self._subscribers, _STALLED)


async def _together(go: Callable[[int], Coroutine[Any, Any, None]], lanes: int) -> None:
    """Run all lanes; the first failure ends the others and is raised."""
    tasks = [asyncio.ensure_future(go(lane)) for lane in range(lanes)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _at(due: int) -> None:
    wait = (due - wire.stamp()) / 1e6 - _SPIN
    if wait > 0:
        await asyncio.sleep(wait)
    while wire.stamp() < due:
        await asyncio.sleep(0)
