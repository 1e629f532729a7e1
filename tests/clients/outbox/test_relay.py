"""The relay: what is refused is parked, and a hub or a database that is away is waited for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
from hub_client import AsyncPublisher, PublishFailed, Refused, Rejected
from hub_client.outbox import AsyncRelay, Parked, Progress, Status
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tests.clients.fake_hub import FakeHub
from tests.clients.test_publisher import publisher_of

from .app import outbox
from .table import add, refusing, sent, waiting

pytestmark = [pytest.mark.anyio]


async def test_poison_is_parked_and_holds_up_nothing(engine: AsyncEngine, hub: FakeHub) -> None:
    await add(engine, *range(6))
    refusing(hub, 2, 5)
    rounds: list[Progress] = []
    async with publisher_of(hub) as publisher:
        relay = AsyncRelay(engine, outbox, publisher, on_progress=rounds.append)
        assert await relay.drain() == 4
        status = await waiting(engine)
        assert (status.waiting, status.parked, status.lag) == (0, 2, 0.0)
        async with engine.begin() as connection:
            parked = [Parked.read(row) for row in await connection.execute(outbox.select_parked())]
            assert [(one.id, one.key, one.body["data"], one.code, one.reason) for one in parked] == [
                ("id-2", "k", 2, "event_invalid", "Not this one."),
                ("id-5", "k", 5, "event_invalid", "Not this one."),
            ]
            assert abs(parked[0].parked_at - time.time()) < 60
            await connection.execute(outbox.discard(["id-5"]))
            await connection.execute(outbox.retry())
        hub.calls.clear()
        refusing(hub)
        assert await relay.drain() == 1
    assert sent(hub) == [2]


async def test_a_hub_that_is_away_is_waited_for(engine: AsyncEngine, hub: FakeHub) -> None:
    await add(engine, 1, 2)
    gone = True

    async def http(call: Any) -> Any:
        return (503, "away") if gone and call.path == "/v1/events" else None

    hub.on_http = http
    rounds: list[Progress] = []
    async with publisher_of(hub, timeout=0.1) as publisher:
        relay = AsyncRelay(engine, outbox, publisher, poll=0.05, on_progress=rounds.append)
        with pytest.raises(PublishFailed):
            await relay.drain()
        running = asyncio.create_task(relay.run())
        async with asyncio.timeout(20):
            while len(rounds) < 2:
                await asyncio.sleep(0.01)
            assert isinstance(rounds[-1].error, PublishFailed)
            assert rounds[-1].lag > 0
            gone = False
            while not [progress for progress in rounds if progress.sent == 2 and progress.lag == 0]:
                await asyncio.sleep(0.01)
        relay.stop()
        await running
    assert await waiting(engine) == Status(0, 0, 0.0)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_a_database_that_is_away_is_waited_for(database: str, engine: AsyncEngine, hub: FakeHub) -> None:
    """It starts up, and then the application holds all its connections."""
    await add(engine, 1)
    problems: list[Exception] = [
        OSError("refused"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
    ]

    async def connect() -> Any:
        if problems:
            raise problems.pop()
        return await asyncpg.connect(database.replace("+asyncpg", ""))

    shared = create_async_engine(
        "postgresql+asyncpg://", async_creator=connect, pool_size=1, max_overflow=0, pool_timeout=0
    )
    rounds: list[Progress] = []
    async with publisher_of(hub) as publisher, asyncio.timeout(20):
        relay = AsyncRelay(shared, outbox, publisher, poll=0.01, on_progress=rounds.append)
        running = asyncio.create_task(relay.run())

        async def until(holds: Callable[[], object]) -> None:
            while not holds():
                assert not running.done()
                await asyncio.sleep(0.01)

        await until(lambda: sent(hub) == [1])
        assert sum(progress.error is not None for progress in rounds) == 2
        while shared.pool.checkedout():
            await asyncio.sleep(0.001)
        async with shared.connect():
            rounds.clear()
            await add(engine, 2)
            await until(lambda: rounds and isinstance(rounds[-1].error, NoConnectionFree))
        await until(lambda: sent(hub) == [1, 2])
        relay.stop()
        await running
    await shared.dispose()


async def test_credentials_that_are_refused_park_nothing(engine: AsyncEngine, hub: FakeHub) -> None:
    await add(engine, 1)

    async def http(call: Any) -> Any:
        return 401, {"title": "no", "detail": "No.", "code": "user_disabled", "status": 401}

    hub.on_http = http
    async with publisher_of(hub) as publisher:
        with pytest.raises(Rejected):
            await AsyncRelay(engine, outbox, publisher).run()
    async with AsyncPublisher(hub.url, token="t") as publisher:
        with pytest.raises(Refused):
            await AsyncRelay(engine, outbox, publisher).run()
    assert (await waiting(engine)).parked == 0
