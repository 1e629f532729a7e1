"""What only PostgreSQL has: it may be away, hang, or be another's; and what its users may do is theirs to say."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from hub.database import postgresql
from hub.database.store import Store
from hub.errors import HubError
from hub.identity.models import Change
from hub.settings import Settings, SettingsError
from tests.postgres import USER, PostgresServer, find_programs

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def server(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """One that tests may stop."""
    programs = find_programs()
    assert programs is not None
    own = PostgresServer(programs)
    try:
        yield own.start()
    finally:
        own.close()


def settings_for(url: str, data_dir: Path, **settings: object) -> Settings:
    return Settings.model_validate({"data_dir": data_dir, "database_url": url, "database_timeout": 1} | settings)


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.database()


@pytest.fixture
async def store(url: str, tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store(settings_for(url, tmp_path))
    await opened.open()
    yield opened
    await opened.close()


async def read(store: Store) -> int:
    async with store.read() as db:
        return await db.scalar(select(func.count()).select_from(Change)) or 0


async def write(store: Store) -> None:
    async with store.write() as db:
        db.add(Change(kind="session", name="s", code="x", expires_at=0.0))


async def refused(work: Awaitable[object]) -> float:
    """It is answered with the error that says so; after how many seconds."""
    began = time.monotonic()
    with pytest.raises(HubError, match="database_unavailable"):
        await work
    return time.monotonic() - began


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["in order", "at once"])
async def test_one_that_is_stopped_and_comes_back(server: PostgresServer, store: Store, how: signal.Signals) -> None:
    await asyncio.gather(*(read(store) for _ in range(8)))  # Connections that will be dead.
    await write(store)
    server.stop(how)
    assert max(await asyncio.gather(*(refused(work(store)) for work in (read, write) for _ in range(5)))) < 4
    server.start()
    assert await asyncio.gather(*(read(store) for _ in range(8))) == [1] * 8, "no connection of before is given out"
    await write(store)


async def test_one_that_is_stopped_within_a_transaction(server: PostgresServer, store: Store) -> None:
    async def interrupted() -> None:
        async with store.write() as db:
            db.add(Change(kind="session", name="s", code="x", expires_at=0.0))
            await db.flush()
            server.stop(signal.SIGQUIT)

    await refused(interrupted())
    server.start()
    assert await read(store) == 0
    await write(store)


async def test_one_that_hangs(server: PostgresServer, store: Store) -> None:
    """It takes connections still, since the kernel does, and answers nothing."""
    await asyncio.gather(*(read(store) for _ in range(3)))
    server.freeze()
    try:
        waits = await asyncio.gather(*(refused(work(store)) for work in (read, write) for _ in range(8)))
    finally:
        server.thaw()
    assert max(waits) < 9
    async with asyncio.timeout(10):
        await write(store)
        assert await read(store) == 1


async def test_a_group_holds_up_nobody_else(store: Store) -> None:
    async with store.write_apart("some"), store.write_apart("others"):
        await write(store)
    async with store.write(), store.write_apart("some"):
        pass


async def test_a_hub_can_be_stopped_while_it_hangs(server: PostgresServer, url: str, tmp_path: Path) -> None:
    store = Store(settings_for(url, tmp_path, database_timeout=30))
    await store.open()
    await asyncio.gather(*(read(store) for _ in range(8)))
    server.freeze()
    try:
        async with asyncio.timeout(10):
            await store.close()
    finally:
        server.thaw()


async def test_a_hub_that_stops_in_the_middle_stops_no_other(url: str, store: Store, tmp_path: Path) -> None:
    other = Store(settings_for(url, tmp_path, database_timeout=20))
    await other.open()
    with contextlib.suppress(HubError):
        async with store.write():  # It has the writers' lock, and says nothing more.
            async with asyncio.timeout(15):
                await write(other)
    assert await read(other) == 1
    await other.close()


async def test_more_at_once_than_connections(server: PostgresServer, tmp_path: Path) -> None:
    store = Store(settings_for(server.database(), tmp_path, database_pool=2, database_timeout=10))
    await store.open()
    await asyncio.gather(*(work(store) for work in (read, write) for _ in range(40)))
    assert await read(store) == 40
    await store.close()


async def test_after_a_failover_connections_are_made_anew(store: Store) -> None:
    """What took writes is a standby now and refuses them; the one that takes them now is found by connecting anew."""
    await write(store)
    async with store.write() as db:
        await db.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))
    await refused(write(store))
    await write(store)


async def test_who_may_only_read_and_write_rows_is_enough_for_a_hub(server: PostgresServer, tmp_path: Path) -> None:
    """docs/postgresql.md: the schema belongs to one role, and hubs run as another."""
    url = server.database()
    name = url.rpartition("/")[2]
    server.run(
        name,
        "CREATE ROLE hub_app LOGIN",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO hub_app",
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO hub_app",
    )
    store = Store(settings_for(server.url(name, user="hub_app"), tmp_path))
    await store.open()
    await write(store)
    with pytest.raises(Exception, match=r"must be owner|permission denied"):
        async with store.write() as db:
            await db.execute(text("DROP TABLE changes"))
    await store.close()
    server.run(name, "DROP OWNED BY hub_app", "DROP ROLE hub_app")


async def test_what_cannot_be_had_is_told_in_a_sentence_without_the_password(
    server: PostgresServer, tmp_path: Path
) -> None:
    port = server.port
    for url, said in (
        ("postgresql://me:hunter2@127.0.0.1:1/hub", "127.0.0.1:1/hub cannot be had"),
        (f"postgresql://me:hunter2@127.0.0.1:{port}/hub", 'role "me" does not exist'),
        (f"postgresql://{USER}:hunter2@127.0.0.1:{port}/nowhere", 'database "nowhere" does not exist'),
        (f"postgresql://{USER}:hunter2@127.0.0.1:{port}/postgres?colour=red", "colour"),
        (f"postgresql://{USER}:hunter2@127.0.0.1:{port}/postgres?sslmode=loud", "sslmode"),
        ("postgresql://me:hunter2@no-such-host.invalid/hub", "no-such-host.invalid/hub cannot be had"),
    ):
        store = Store(settings_for(url, tmp_path))
        with pytest.raises(SettingsError) as refusal:
            await store.open()
        assert said in str(refusal.value)
        assert "hunter2" not in str(refusal.value)
        await store.close()


async def test_a_bug_is_no_database_that_is_away(store: Store) -> None:
    for begin in (store.read, store.write):
        with pytest.raises(Exception, match="no_such_table") as failure:
            async with begin() as db:
                await db.execute(text("SELECT * FROM no_such_table"))
        assert not isinstance(failure.value, HubError)
    with pytest.raises(Exception, match="duplicate key"):
        async with store.write() as db:
            await db.execute(text("INSERT INTO alembic_version SELECT * FROM alembic_version"))


def test_every_wait_has_an_end() -> None:
    """Of the states that are no bug: each of the classes that a server going down has been seen to answer with."""
    for state in ("08006", "40P01", "40001", "53300", "55P03", "57014", "57P01", "57P03", "25P03", "25006", "58030"):
        assert postgresql._is_failing(state)
    for state in (None, "23505", "42P01", "22P02", "25001", "55000"):
        assert not postgresql._is_failing(state)
