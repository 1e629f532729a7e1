"""The measurements, in order, and what they come to."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict

from hub.bench import results, wire
from hub.bench.crew import Crew, Outcome
from hub.bench.durations import Latency
from hub.bench.load import Load
from hub.bench.options import BATCH, BATCH_LANES, BEHIND, LANES, TTL, WINDOW, WINDOW_OF_ONE, Options
from hub.bench.results import Measurement, Report
from hub.bench.sender import Sender
from hub.bench.target import BenchError, Target

_DRAIN = 5.0
"""Seconds that events have to arrive in, after the last was published."""
_CEILING_CONNECTIONS = 50
_PACED_LANES = 8
_ALL, _ONE = "all", "one"

Tell = Callable[[str, float], None]
"""Told what goes on, and which share of the whole is done; ten times a second."""


def topic_of(run: str, group: str) -> str:
    """Nobody else's: it holds the run's random name."""
    return f"bench:{run}:{group}"


class Bench:
    """One run. ``report`` holds what is known so far, also after a failure or a cancellation."""

    def __init__(self, target: Target, options: Options, *, url: str, tell: Tell) -> None:
        self._target = target
        self._options = options
        self._tell = tell
        self._run = secrets.token_hex(4)
        self._phase = 0
        self._done = 0.0
        self._idle_ms: dict[bool, float] = {}
        self.report = Report(url, f"bench:{self._run}", asdict(options), target.is_loopback)

    async def run(self) -> None:
        """Measure everything; raises ``BenchError`` where it cannot go on."""
        options = self._options
        async with Crew(options.processes) as crew:
            await self._ceiling(crew)
            for group in (_ALL, _ONE):
                await crew.found(group, self._target, topic_of(self._run, group))
            await self._connect(crew)
            await self._paced(crew, durable=False)
            await self._paced(crew, durable=True)
            if options.flat_out:
                await self._broadcast(crew, durable=False)
                await self._broadcast(crew, durable=True)
                await crew.begin(_ONE, self._mark())
                await crew.open(_ONE, 1)
                for durable in (False, True):
                    for batch in (1, BATCH):
                        await self._publish(crew, durable=durable, batch=batch)
                await crew.close(_ONE)
            await self._resume(crew)

    # --- One measurement each

    async def _ceiling(self, crew: Crew) -> None:
        async with self._step("What this client can count", 1.5):
            marked = self._mark()
            async with Sender(marked) as sender:
                await crew.found("sender", sender.target, "")
                await crew.begin("sender", marked)
                await crew.open("sender", _CEILING_CONNECTIONS)
                sender.flood()
                await asyncio.sleep(0.2)
                before, began = crew.received, time.monotonic()
                await asyncio.sleep(0.7)
                self.report.ceiling = (crew.received - before) / (time.monotonic() - began)
            await crew.close("sender")

    async def _connect(self, crew: Crew) -> None:
        count = self._options.connections
        async with self._step(f"Opening {count:,} connections", 1 + count / 1000):
            await crew.begin(_ALL, self._mark())
            watch = _Watch(crew)
            await crew.open(_ALL, count)
            seconds = watch.seconds
            busy = await watch.busy()
        rate = count / seconds
        limit = results.fan_out_limit(busy, self._options.processes)
        self._keep(Measurement("connect", f"{count:,} connections", rate, "connections", busy=busy, limit=limit))

    async def _paced(self, crew: Crew, *, durable: bool) -> None:
        options = self._options
        what = "durable" if durable else "ephemeral"
        title = f"one {what} event at a time, {options.rate:g}/s, to {options.connections:,}"
        async with self._step(title, options.seconds):
            marked = self._mark()
            await crew.begin(_ALL, marked, ages=True)
            with self._load(crew, _ALL, marked, lanes=_PACED_LANES, durable=durable) as load:
                watch = _Watch(crew)
                await load.paced(options.rate, options.seconds)
                outcome, busy = await self._finish(crew, load, watch)
        answer = load.answers.latency()
        if answer is not None:
            self._idle_ms[durable] = answer.p50
        self._keep_outcome(
            f"latency_{what}", title, outcome, busy, delivery=outcome.ages.latency(), answer=answer if durable else None
        )

    async def _broadcast(self, crew: Crew, *, durable: bool) -> None:
        options = self._options
        what = "durable" if durable else "ephemeral"
        title = f"broadcast to {options.connections:,}, flat out, {what}"
        async with self._step(title, options.seconds):
            marked = self._mark()
            await crew.begin(_ALL, marked)
            with self._load(crew, _ALL, marked, lanes=BATCH_LANES, durable=durable) as load:
                watch = _Watch(crew)
                await load.flat_out(options.seconds, batch=BATCH, window=WINDOW)
                outcome, busy = await self._finish(crew, load, watch)
        rate = crew.received / watch.seconds
        limit = results.fan_out_limit(busy, options.processes)
        self._keep_outcome(f"broadcast_{what}", title, outcome, busy, rate=rate, unit="deliveries", limit=limit)

    async def _publish(self, crew: Crew, *, durable: bool, batch: int) -> None:
        what = "durable" if durable else "ephemeral"
        lanes = LANES if batch == 1 else BATCH_LANES
        how = f"{batch} a POST, {lanes} at a time" if batch > 1 else f"a POST each, {lanes} at a time"
        title = f"{what} events, {how}"
        async with self._step(title, self._options.seconds):
            marked = self._mark()
            await crew.begin(_ONE, marked)
            with self._load(crew, _ONE, marked, lanes=lanes, durable=durable) as load:
                watch = _Watch(crew)
                rate = await load.flat_out(self._options.seconds, batch=batch, window=WINDOW_OF_ONE)
                outcome, busy = await self._finish(crew, load, watch)
        # On one machine the way is short, and an answer that takes long is the hub's own time.
        idle = None if batch > 1 or self._target.is_loopback else self._idle_ms.get(durable)
        limit = results.publish_limit(rate, busy, lanes=lanes, idle_ms=idle)
        name = f"publish_{what}" + ("_batch" if batch > 1 else "")
        answer = load.answers.latency()
        self._keep_outcome(name, title, outcome, busy, rate=rate, unit="events", limit=limit, answer=answer)

    async def _resume(self, crew: Crew) -> None:
        count = self._options.connections
        title = f"{count:,} clients come back, {BEHIND} events behind"
        async with self._step(title, 1 + count / 1000):
            await crew.close(_ALL)
            with self._load(crew, _ALL, self._mark(), lanes=1, durable=True) as before:
                await before.post()
                cursor = _cursor(before.last)
            marked = self._mark()
            with self._load(crew, _ALL, marked, lanes=1, durable=True) as missed:
                await missed.post(batch=BEHIND)
            await crew.begin(_ALL, marked)
            watch = _Watch(crew)
            await crew.open(_ALL, count, after=cursor)
            outcome, busy = await self._finish(crew, missed, watch)
        rate = outcome.verdict.expected / watch.seconds
        limit = results.fan_out_limit(busy, self._options.processes)
        self._keep_outcome("resume", title, outcome, busy, rate=rate, unit="events", limit=limit)

    # --- What they have in common

    def _mark(self) -> bytes:
        self._phase += 1
        return wire.mark(self._run, self._phase)

    def _load(self, crew: Crew, group: str, marked: bytes, *, lanes: int, durable: bool) -> Load:
        return Load(
            self._target,
            topic_of(self._run, group),
            marked,
            crew,
            subscribers=self._options.connections if group == _ALL else 1,
            lanes=lanes,
            ttl=TTL if durable else None,
        )

    async def _finish(self, crew: Crew, load: Load, watch: _Watch) -> tuple[Outcome, results.Busy]:
        """Wait for what is under way; what arrived, and what this client used."""
        busy = await watch.busy()
        await crew.until(load.expected, _DRAIN)
        watch.stop()
        return await crew.judge(load.published, load.expected), busy

    def _keep_outcome(
        self,
        name: str,
        title: str,
        outcome: Outcome,
        busy: results.Busy,
        *,
        rate: float | None = None,
        unit: str = "",
        limit: str = "",
        delivery: Latency | None = None,
        answer: Latency | None = None,
    ) -> None:
        self._keep(
            Measurement(
                name, title, rate, unit, delivery, answer, outcome.verdict, busy, limit, outcome.lost,
                outcome.lost_because,
            )
        )  # fmt: skip
        if outcome.lost:
            raise BenchError(f"{outcome.lost:,} connections ended meanwhile: {outcome.lost_because}")

    def _keep(self, measurement: Measurement) -> None:
        self.report.measurements.append(measurement)

    @asynccontextmanager
    async def _step(self, title: str, seconds: float) -> AsyncIterator[None]:
        """Tell of the progress meanwhile."""
        ticking = asyncio.create_task(self._tick(title, seconds))
        try:
            yield
        finally:
            ticking.cancel()
        self._done += seconds

    async def _tick(self, title: str, seconds: float) -> None:
        began = time.monotonic()
        while True:
            done = self._done + min(seconds, time.monotonic() - began)
            self._tell(title, min(1.0, done / self._options.duration))
            await asyncio.sleep(0.1)


class _Watch:
    """The time that a measurement takes, and what this client uses of its cores meanwhile."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._cpu = time.process_time()
        self._began = time.monotonic()
        self._ended: float | None = None

    @property
    def seconds(self) -> float:
        return (time.monotonic() if self._ended is None else self._ended) - self._began

    def stop(self) -> None:
        self._ended = time.monotonic()

    async def busy(self) -> results.Busy:
        publisher = (time.process_time() - self._cpu) / self.seconds
        return results.Busy(publisher, await self._crew.busy())


def _cursor(receipt: bytes) -> str:
    match json.loads(receipt):
        case {"cursor": str(cursor)}:
            return cursor
    raise BenchError("The hub acknowledged a durable event without a cursor.")
