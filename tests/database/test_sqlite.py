"""The embedded database: durable, private, and written by several processes at once."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import stat
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select, text

from hub.database.sqlite import _prepare_file
from hub.database.store import Store
from hub.identity.models import Change
from hub.settings import Settings, SettingsError

pytestmark = pytest.mark.anyio

# Another process: it counts in one row, reading before it writes, which is what deadlocks deferred transactions.
_WRITER = """
import asyncio, sys
from pathlib import Path
from sqlalchemy import delete, func, select
from hub.identity.models import Change
from hub.database.store import Store
from hub.settings import Settings

async def main():
    store = Store(Settings(data_dir=Path(sys.argv[1])))
    await store.open()
    for _ in range(25):
        async with store.write() as db:
            count = await db.scalar(select(func.count()).select_from(Change))
            db.add(Change(kind="session", name="s", code=str(count), expires_at=0.0))
    await store.close()

asyncio.run(main())
"""


def store_in(directory: Path) -> Store:
    return Store(Settings(data_dir=directory))


async def test_it_is_durable_private_and_in_wal_mode(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    await store.open()
    async with store.write() as db:
        pragmas = [await db.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")]
        db.add(Change(kind="session", name="s", code="x", expires_at=0.0))
    assert pragmas == ["wal", 2, 1]
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
    await store.close()


async def test_a_failed_block_leaves_nothing(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    await store.open()
    with contextlib.suppress(KeyError):
        async with store.write() as db:
            db.add(Change(kind="session", name="s", code="x", expires_at=0.0))
            await db.flush()
            raise KeyError
    async with store.read() as db:
        assert await db.scalar(select(func.count()).select_from(Change)) == 0
    await store.close()


async def test_ids_of_changes_are_never_used_again(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    await store.open()
    async with store.write() as db:
        db.add(Change(kind="session", name="s", code="x", expires_at=0.0))
    async with store.write() as db:
        await db.execute(delete(Change))
    async with store.write() as db:
        db.add(Change(kind="session", name="s", code="x", expires_at=0.0))
    async with store.read() as db:
        assert await db.scalar(select(Change.id)) == 2
    await store.close()


async def test_there_are_news_when_anybody_committed(tmp_path: Path) -> None:
    one, two = store_in(tmp_path), store_in(tmp_path)
    await one.open()
    await two.open()
    assert await one.has_news()
    assert not await one.has_news()
    for store in (one, two):
        async with store.write() as db:
            db.add(Change(kind="session", name="s", code="x", expires_at=0.0))
        assert await one.has_news()
        assert not await one.has_news()
    await one.close()
    await two.close()


async def test_several_processes_write_at_once(tmp_path: Path) -> None:
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", "-c", _WRITER, str(tmp_path), stderr=asyncio.subprocess.PIPE
        )
        for _ in range(4)
    ]
    outcomes = await asyncio.gather(*(process.communicate() for process in processes))
    assert [error for _, error in outcomes] == [b""] * 4, "no 'database is locked', also at the first start"
    with sqlite3.connect(tmp_path / "identity.db") as connection:
        counts = [int(code) for (code,) in connection.execute("SELECT code FROM changes ORDER BY id")]
    connection.close()
    assert counts == list(range(100)), "what a writer reads does not change under it"


def test_many_may_open_a_new_database_at_the_same_moment(tmp_path: Path) -> None:
    """The change to WAL mode is where SQLite says "locked" at once: about once in a hundred times."""
    failures: list[Exception] = []

    def prepare(path: Path, ready: threading.Barrier) -> None:
        ready.wait()
        try:
            _prepare_file(path)
        except Exception as error:
            failures.append(error)

    for number in range(60):
        arguments = (tmp_path / f"{number}.db", threading.Barrier(8))
        threads = [threading.Thread(target=prepare, args=arguments) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []


async def test_what_cannot_be_opened_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be opened: No such file or directory"):
        await Store(Settings(data_dir=tmp_path / "gone")).open()
    (tmp_path / "identity.db").write_bytes(b"not a database, but long enough to be looked at as if it were one" * 100)
    with pytest.raises(SettingsError, match="cannot be opened: file is not a database"):
        await store_in(tmp_path).open()
