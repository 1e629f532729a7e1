"""Every engine that there is, each behind the same fixture."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from hub.engine.base import Engine
from hub.engine.nats import NatsEngine
from hub.engine.nats_link import Access
from hub.engine.nats_stream import StreamSettings
from hub.engine.sqlite import SqliteEngine
from tests.fakes import Clock
from tests.nats_server import NatsCluster, NatsServer

from .nodes import OpenNode, opened, settings
from .recorder import Recorder

_SCALE = 0.02
"""Seconds of a server's clock that stand for one of the test's."""

PassTime = Callable[[float], Awaitable[None]]
Open = Callable[..., AbstractAsyncContextManager[tuple[Engine, Recorder]]]


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000_000)


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One NATS server for all tests."""
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture(scope="session")
def nats_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsCluster]:
    """Three NATS servers for all tests."""
    cluster = NatsCluster(tmp_path_factory.mktemp("nats"))
    try:
        yield cluster.start()
    finally:
        cluster.close()


class Storage:
    """What one test's engines work on, one after the other or several at once."""

    def __init__(self, path: Path, clock: Clock, urls: str | None, replicas: int) -> None:
        self.stream = f"t{uuid.uuid4().hex}"
        self.scale = 1.0 if urls is None else _SCALE
        self._path = path
        self._clock = clock
        self._urls = urls
        self._replicas = replicas

    def engine(self, age: float, size: int, window: float) -> Engine:
        """An engine that was not started."""
        if self._urls is None:
            return SqliteEngine(
                self._path, retention_age=age, retention_bytes=size, dedupe_window=window, clock=self._clock
            )
        age, window = age * self.scale, min(window, age) * self.scale
        settings = StreamSettings(self.stream, self._replicas, "file", age, size, window)
        return NatsEngine(Access(tuple(self._urls.split(","))), settings, clock=self._clock)


@pytest.fixture(params=["sqlite", "nats", "nats-r3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Storage:
    """Every kind of engine; three NATS servers keep three replicas."""
    urls = None
    if request.param == "nats":
        urls = request.getfixturevalue("nats_server").url
    elif request.param == "nats-r3":
        urls = request.getfixturevalue("nats_cluster").url
    return Storage(tmp_path / "log.db", clock, urls, 3 if request.param == "nats-r3" else 1)


@pytest.fixture
def open_engine(storage: Storage) -> Open:
    """Opens the engine on the same storage each time it is called, so that restarts can be tested."""

    @asynccontextmanager
    async def opened(
        *, retention_age: float = 1e6, retention_bytes: int = 1 << 26, dedupe_window: float = 1000
    ) -> AsyncIterator[tuple[Engine, Recorder]]:
        engine = storage.engine(retention_age, retention_bytes, dedupe_window)
        recorder = Recorder()
        await engine.start(recorder)
        try:
            yield engine, recorder
        finally:
            await engine.stop()

    return opened


@pytest.fixture
def pass_time(storage: Storage, clock: Clock) -> PassTime:
    """Lets so many of the test's seconds pass: on the test's clock, and, where a server has its own, in fact."""

    async def passed(seconds: float) -> None:
        clock.now += seconds
        if storage.scale != 1:
            await asyncio.sleep(seconds * storage.scale)

    return passed


@pytest.fixture
def stream() -> str:
    """A stream of the test's own."""
    return f"t{uuid.uuid4().hex}"


@pytest.fixture
def open_node(nats_server: NatsServer, stream: str) -> OpenNode:
    """Opens one more node on the test's stream."""
    return lambda **changes: opened(nats_server.url, settings(stream, **changes))
