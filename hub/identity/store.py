"""Where identities are kept: a SQLite file in WAL mode that the hub and its command line may write at the same time.

Promises: a transaction that ended is on disk (``synchronous=FULL``); reads see one state; writes are one at a time,
taking the write lock when they begin, so that none fails half-way for having read before. Knows models and settings.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import aiosqlite
from sqlalchemy import URL, Connection, event
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from hub.errors import HubError
from hub.identity.models import Base
from hub.settings import SettingsError

FILE_NAME = "identity.db"
_SCHEMA = 2
_BUSY_SECONDS = 15.0
"""How long a writer waits for another process's transaction."""


class Store:
    """The database of identities. ``open`` it, ``close`` it."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / FILE_NAME
        self._engine: AsyncEngine = create_async_engine(
            URL.create("sqlite+aiosqlite", database=str(self._path)),
            # isolation_level None: the driver leaves BEGIN to us, which says how (see _begin).
            connect_args={"timeout": _BUSY_SECONDS, "isolation_level": None},
            pool_size=4,
            max_overflow=4,
        )
        event.listen(self._engine.sync_engine, "connect", _configure)
        event.listen(self._engine.sync_engine, "begin", _begin)
        self._writing = self._engine.execution_options(hub_begin="BEGIN IMMEDIATE")
        self._writer = asyncio.Lock()
        self._watch: aiosqlite.Connection | None = None
        self._seen_version: object = None

    async def open(self) -> None:
        """Make or check the database; raises ``SettingsError`` if that cannot be done."""
        try:
            await asyncio.to_thread(_prepare_file, self._path)
            async with self._writing.begin() as connection:
                schema = (await connection.exec_driver_sql("PRAGMA user_version")).scalar_one()
                if schema not in (0, _SCHEMA):
                    raise SettingsError(
                        f"The identities {self._path} were made by another version of the hub; run that one."
                    )
                await connection.run_sync(Base.metadata.create_all)
                await connection.exec_driver_sql(f"PRAGMA user_version = {_SCHEMA}")
        except (OSError, sqlite3.Error, DBAPIError) as error:
            cause = error.strerror if isinstance(error, OSError) else getattr(error, "orig", error)
            raise SettingsError(f"The identities {self._path} cannot be opened: {cause}.") from None

    async def close(self) -> None:
        """Give the connections back."""
        await self._stop_watching()
        await self._engine.dispose()

    async def has_news(self) -> bool:
        """Whether anybody, in any process, committed something since this was last asked; the first time, True.

        Cheap enough to be asked several times a second: it reads one number from shared memory.
        """
        try:
            if self._watch is None:
                self._watch = await aiosqlite.connect(self._path, timeout=_BUSY_SECONDS)
            async with self._watch.execute("PRAGMA data_version") as cursor:
                row = await cursor.fetchone()
        except BaseException:
            await self._stop_watching()
            raise
        # The number means something only to the connection that asks, and compared with what that was told before.
        last, self._seen_version = self._seen_version, row
        return row != last

    async def _stop_watching(self) -> None:
        if self._watch is not None:
            watch, self._watch = self._watch, None
            self._seen_version = None
            await watch.close()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A transaction that only reads, and sees one state. Raises ``identity_unavailable``."""
        with _told():
            async with AsyncSession(self._engine, expire_on_commit=False) as session, session.begin():
                yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A transaction that may write: committed, and on disk, when the block ends; undone if it raises.

        What it reads cannot change under it. Keep it short: it waits for nothing but the database. Raises
        ``identity_unavailable``.
        """
        # This process's writers queue here, in order; the database's own lock is polled, and for other processes.
        with _told():
            async with self._writer, AsyncSession(self._writing, expire_on_commit=False) as session, session.begin():
                yield session


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """A disk that is full or gone is no bug of ours: an answer that says to come back."""
    try:
        yield
    except OperationalError as error:
        raise HubError("identity_unavailable") from error.orig


def _prepare_file(path: Path) -> None:
    """Make the file, the owner's alone, and put it into WAL mode, which lasts. Blocks."""
    # It names who exists and holds hashes. SQLite gives the files beside it the same mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    deadline = monotonic() + _BUSY_SECONDS
    with contextlib.closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as connection:
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                # The one statement for which SQLite does not wait, when two processes say it at the same moment.
                if "locked" not in str(error) or monotonic() > deadline:
                    raise
                sleep(0.02)


def _configure(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("hub_begin", "BEGIN"))
