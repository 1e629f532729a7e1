"""Transactions, on both databases: what writers that are alone may rely on, whichever process they are in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from hub.database.store import Store
from hub.identity.audit import HUB, Record, append
from hub.identity.audit_log import AuditLog
from hub.identity.models import Account, Change
from hub.settings import Settings

pytestmark = [pytest.mark.anyio, pytest.mark.both_databases]


def change(name: str = "s") -> Change:
    return Change(kind="session", name=name, code="x", expires_at=0.0)


def account(name: str) -> Account:
    return Account(id=name, kind="user", name=name, subscribe=[], publish=[], topics=[], created_at=0.0)


@pytest.fixture
async def stores(database: dict[str, Any], tmp_path: Path) -> AsyncIterator[list[Store]]:
    """Several on one database, as if they were processes."""
    async with contextlib.AsyncExitStack() as stack:
        opened = []
        for _ in range(3):
            store = Store(Settings(data_dir=tmp_path, **database))
            await store.open()
            stack.push_async_callback(store.close)
            opened.append(store)
        yield opened


async def test_a_failed_block_leaves_nothing(stores: list[Store]) -> None:
    for begin in (stores[0].write, stores[0].write_beside, partial(stores[0].write_apart, "some")):
        with contextlib.suppress(KeyError):
            async with begin() as db:
                db.add(account("alice"))
                await db.flush()
                raise KeyError
    async with stores[0].read() as db:
        assert await db.get(Account, "alice") is None


async def test_what_a_writer_reads_does_not_change_under_it(stores: list[Store]) -> None:
    async def count(store: Store) -> None:
        for _ in range(10):
            async with store.write() as db:
                seen = await db.scalar(select(func.count()).select_from(Change))
                db.add(change(str(seen)))

    await asyncio.gather(*(count(store) for store in stores), *(count(store) for store in stores))
    async with stores[0].read() as db:
        assert [int(name) for name in await db.scalars(select(Change.name).order_by(Change.id))] == list(range(60))


async def test_nor_under_one_of_a_group(stores: list[Store]) -> None:
    async def count(store: Store) -> None:
        for _ in range(10):
            async with store.write_apart("some") as db:
                seen = await db.scalar(select(func.count()).select_from(Account))
                db.add(account(f"{seen:03}"))

    await asyncio.gather(*(count(store) for store in stores), *(count(store) for store in stores))
    async with stores[0].read() as db:
        assert [int(name) for name in await db.scalars(select(Account.id).order_by(Account.id))] == list(range(60))


async def test_changes_become_visible_in_order(stores: list[Store]) -> None:
    """A reader that goes on from the last id it saw misses none, however many write and some give up."""
    done = asyncio.Event()

    async def write(store: Store, number: int) -> None:
        for turn in range(15):
            with contextlib.suppress(KeyError):
                async with store.write() as db:
                    db.add(change(f"{number}-{turn}"))
                    await db.flush()  # It has its id now, and is not there yet.
                    await asyncio.sleep(0.001 * (number % 3))
                    if turn % 5 == 4:
                        raise KeyError

    async def follow(store: Store) -> list[tuple[int, str]]:
        seen: list[tuple[int, str]] = []
        while True:
            last = done.is_set()
            newer = Change.id > (seen[-1][0] if seen else 0)
            async with store.read() as db:
                found = await db.execute(select(Change.id, Change.name).where(newer).order_by(Change.id))
                seen += [(id, name) for id, name in found]
            if last:
                return seen
            await asyncio.sleep(0)

    following = asyncio.create_task(follow(stores[2]))
    await asyncio.gather(*(write(store, number * 2 + i) for number in range(3) for i, store in enumerate(stores[:2])))
    done.set()
    seen = await following
    async with stores[0].read() as db:
        everything = [(id, name) for id, name in await db.execute(select(Change.id, Change.name).order_by(Change.id))]
    assert seen == everything
    assert len(seen) == 6 * 12


async def test_the_audit_log_has_one_end(stores: list[Store]) -> None:
    logs = [AuditLog(store) for store in stores]
    await asyncio.gather(*(log.write(Record(HUB, "login")) for log in logs for _ in range(12)))
    verdict = await logs[0].verify()
    assert (verdict.lines, verdict.seq, verdict.fault) == (36, 36, None)


async def test_rows_whose_order_matters_are_added_by_those_alone_only(stores: list[Store]) -> None:
    async def tell() -> None:
        async with stores[0].write_beside() as db:
            await append(db, Record(HUB, "login"), now=0.0)

    async def note() -> None:
        async with stores[0].write_beside() as db:
            db.add(change())

    async def note_apart() -> None:
        async with stores[0].write_apart("some") as db:
            db.add(change())

    for work in (tell, note, note_apart):
        with pytest.raises(RuntimeError, match="others write beside"):
            await work()


async def test_a_reader_sees_one_state(stores: list[Store]) -> None:
    async with stores[0].read() as db:
        assert await db.get(Account, "alice") is None
        async with stores[1].write() as other:
            other.add(account("alice"))
        assert (await db.scalars(select(Account.id))).all() == []
    async with stores[0].read() as db:
        assert (await db.scalars(select(Account.id))).all() == ["alice"]


async def test_text_is_what_it_is_on_both(stores: list[Store]) -> None:
    names = ["alice", "Bob", "Zoë", "alice.b", "alice:b", "bob", "x" * 100_000, "Ä", "İ", "☃"]
    async with stores[0].write() as db:
        db.add_all(account(name) for name in names)
    async with stores[0].read() as db:
        assert (await db.scalars(select(Account.id).order_by(Account.id))).all() == sorted(names)
        assert (await db.scalars(select(Account.id).where(Account.id > "b").order_by(Account.id))).all() == [
            name for name in sorted(names) if name > "b"
        ]
        assert await db.get(Account, "ALICE") is None, "upper and lower case are not the same"
        for nobody in ("ali\0ce", "\0", "\ud800", "alice\udfff"):
            assert await db.get(Account, nobody) is None
