"""What the engines carry, side by side (``make bench-engines``): the embedded one, and JetStream.

Durable publishing with 64 publishers and with one, in requests of one event and of a hundred; bare nats-py with the
same stream beside it, so that the hub's own share shows; what a page costs; and what a node pays for an event that
nobody on it follows. Engines and their clients run in this process, the servers in others, all on this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import nats

from hub.engine.base import Engine
from hub.engine.nats import NatsEngine
from hub.engine.nats_link import Access
from hub.engine.nats_stream import StreamSettings
from hub.engine.sqlite import SqliteEngine
from hub.model import Draft, Entry, PresenceChange, Topic
from tests.nats_server import NatsCluster, NatsServer

BODY = json.dumps(
    {"id": "x" * 20, "type": "order.paid", "source": "service:shop", "data": {"text": "x" * 120}}
).encode()
PUBLISHERS = 64
SECONDS = 4.0
AGE, SIZE, WINDOW = 86400.0, 1 << 30, 3600.0


class Nobody:
    """A node without connections."""

    def __init__(self) -> None:
        self.count = 0

    def deliver(self, entries: Sequence[Entry]) -> None:
        self.count += len(entries)

    def signal(self, draft: Draft) -> None:
        pass

    def presence_changed(self, change: PresenceChange) -> None:
        pass


def drafts(number: int, count: int) -> list[Draft]:
    """Events for one user each."""
    now = time.time()
    ids = (f"{number}-{n}" for n in range(count))
    return [Draft(one, (Topic(f"user:u{number % 1000}"),), BODY, now, dedupe=f"service:shop {one}") for one in ids]


async def measure(append: Callable[[int], Any], publishers: int, events: int) -> dict[str, float]:
    """Events a second, and a request's time in milliseconds."""
    times: list[float] = []
    number = 0
    end = time.perf_counter() + SECONDS

    async def publish() -> None:
        nonlocal number
        while (started := time.perf_counter()) < end:
            number += 1
            await append(number)
            times.append(time.perf_counter() - started)

    started = time.perf_counter()
    await asyncio.gather(*(publish() for _ in range(publishers)))
    took = time.perf_counter() - started
    times.sort()
    return {
        "events/s": len(times) * events / took,
        "p50 ms": times[len(times) // 2] * 1e3,
        "p99 ms": times[int(len(times) * 0.99)] * 1e3,
    }


async def publishing(engine: Engine) -> dict[str, dict[str, float]]:
    """The three ways of publishing. Ids differ between them."""
    results = {}
    for index, (name, publishers, events) in enumerate(
        ((f"{PUBLISHERS} publishers", PUBLISHERS, 1), ("1 publisher", 1, 1), ("requests of 100", 8, 100))
    ):
        first = (index + 1) * 100_000_000

        async def append(number: int, first: int = first, events: int = events) -> None:
            await engine.append(drafts(first + number, events))

        results[name] = await measure(append, publishers, events)
    return results


async def bare(url: str, replicas: int) -> dict[str, dict[str, float]]:
    """nats-py's own JetStream publish, with an id."""
    client = await nats.connect(url.split(","))
    jetstream = client.jetstream()
    await jetstream.add_stream(name="bare", subjects=["bare.>"], num_replicas=replicas, duplicate_window=WINDOW)
    results = {}
    for name, publishers in ((f"{PUBLISHERS} publishers", PUBLISHERS), ("1 publisher", 1)):

        async def append(number: int, publishers: int = publishers) -> None:
            await jetstream.publish(f"bare.u{number % 1000}", BODY, headers={"Nats-Msg-Id": f"{publishers}-{number}"})

        results[name] = await measure(append, publishers, 1)
    await client.close()
    return results


async def reading(engine: Engine) -> dict[str, float]:
    """Milliseconds a page of 256 of some topics from the middle of what was published, and the newest 100."""
    results = {}
    for count in (1, 10):
        topics = [Topic(f"user:u{n}") for n in range(count)]
        for name, after in (("page", engine.head // 2), ("newest", None)):
            started = time.perf_counter()
            for _ in range(30):
                await engine.read(topics, after, 256 if after else 100)
            results[f"{name}, {count} topics"] = (time.perf_counter() - started) / 30 * 1e3
    return results


def _follow(url: str, stream: str, ready: Any, stop: Any, answer: Any) -> None:
    """A node of its own process that nobody is connected to: CPU microseconds an event."""

    async def run() -> None:
        engine, sink = NatsEngine(Access(tuple(url.split(","))), _settings(1, stream)), Nobody()
        await engine.start(sink)
        ready.set()
        while not sink.count:
            await asyncio.sleep(0.01)
        before, count = time.process_time(), sink.count
        while not stop.is_set():
            await asyncio.sleep(0.1)
        answer.put(((time.process_time() - before) / (sink.count - count) * 1e6, engine.refilled))
        await engine.stop()

    asyncio.run(run())


async def idle_node(url: str) -> dict[str, float]:
    """What an event costs a node that has no subscriber for it."""
    context = multiprocessing.get_context("spawn")
    ready, stop, answer = context.Event(), context.Event(), context.Queue()
    engine = NatsEngine(Access(tuple(url.split(","))), _settings(1, "idle"))
    await engine.start(Nobody())
    child = context.Process(target=_follow, args=(url, "idle", ready, stop, answer))
    child.start()
    await asyncio.to_thread(ready.wait)
    await measure(lambda number: engine.append(drafts(number, 1)), PUBLISHERS, 1)
    stop.set()
    cost, refilled = await asyncio.to_thread(answer.get)
    child.join()
    await engine.stop()
    return {"CPU us/event": cost, "refilled": refilled}


def _settings(replicas: int, stream: str = "hub") -> StreamSettings:
    return StreamSettings(stream, replicas, "file", AGE, SIZE, WINDOW)


@contextlib.asynccontextmanager
async def started(engine: Engine) -> AsyncIterator[Engine]:
    await engine.start(Nobody())
    try:
        yield engine
    finally:
        await engine.stop()


@contextlib.contextmanager
def servers(directory: Path, kind: str) -> Iterator[tuple[str, int]]:
    """The servers' URL, and how many replicas they keep."""
    some: NatsServer | NatsCluster
    some = NatsCluster(directory) if kind == "R3" else NatsServer(directory, sync="always" if "always" in kind else "")
    try:
        yield some.start().url, 3 if kind == "R3" else 1
    finally:
        some.close()


async def main() -> dict[str, Any]:
    """All of it."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        embedded = SqliteEngine(directory / "log.db", retention_age=AGE, retention_bytes=SIZE, dedupe_window=WINDOW)
        async with started(embedded) as engine:
            results["embedded"] = await publishing(engine) | {"reading ms": await reading(engine)}
        for kind in ("R1", "R1, sync_interval: always", "R3"):
            with servers(directory / kind.replace(" ", "").replace(":", ""), kind) as (url, replicas):
                async with started(NatsEngine(Access(tuple(url.split(","))), _settings(replicas))) as engine:
                    results[f"nats {kind}"] = await publishing(engine) | {"reading ms": await reading(engine)}
                results[f"nats {kind}, bare nats-py"] = await bare(url, replicas)
                if kind == "R1":
                    results["a node without connections"] = await idle_node(url)
    return results


if __name__ == "__main__":
    json.dump(asyncio.run(main()), sys.stdout, indent=2)
    print()
