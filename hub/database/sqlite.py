"""The embedded database: a SQLite file in WAL mode that the hub and its command line may write at the same time.

Promises: a transaction that ended is on disk (``synchronous=FULL``); the file and its copies are the owner's alone; its
schema is brought up to date when it is opened, after a copy of it was kept. Knows schema and settings.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import aiosqlite
from sqlalchemy import URL, Connection, NullPool, event
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from hub.data_directory import DATABASE
from hub.database import schema
from hub.settings import SettingsError

_BUSY_SECONDS = 15.0
"""How long a writer waits for another process's transaction."""

_log = logging.getLogger(__name__)


class Sqlite:
    """The file, for ``Store``."""

    one_writer = True
    patience: float | None = None
    """Writers of this process wait for each other as long as it takes: the disk is ours."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / DATABASE
        self.name = str(self._path)
        self.reading = self._engine(foreign_keys=True, pool_size=4, max_overflow=4)
        self.writing = self.reading.execution_options(hub_begin="BEGIN IMMEDIATE")
        self._watch: aiosqlite.Connection | None = None
        self._seen_version: object = None

    async def open(self, *, migrate: bool) -> None:
        """Make the file or bring it up to date, whatever ``migrate`` says: nobody else uses it.

        Raises ``SettingsError`` if that cannot be done.
        """
        try:
            await asyncio.to_thread(_prepare_file, self._path)
            async with self.reading.connect() as connection:
                revision = await connection.run_sync(schema.revision_of, self.name)
            if schema.due(revision, self.name):
                await self.upgrade()
        except (OSError, sqlite3.Error, DBAPIError) as error:
            cause = error.strerror if isinstance(error, OSError) else getattr(error, "orig", error)
            raise SettingsError(f"The database {self._path} cannot be opened: {cause}.") from None

    async def revision(self) -> str | None:
        """The newest migration that the file has had. Raises as ``open``."""
        await asyncio.to_thread(_prepare_file, self._path)
        async with self.reading.connect() as connection:
            return await connection.run_sync(schema.revision_of, self.name)

    async def upgrade(self) -> tuple[schema.Migration, ...]:
        """Apply what is due, in one transaction, after a copy was made; returns what was applied."""
        # Changing a table means making it anew: with foreign keys enforced, dropping the old one would delete every row
        # that refers to it. They cannot be switched within a transaction, hence connections of their own.
        engine = self._engine(foreign_keys=False, poolclass=NullPool).execution_options(hub_begin="BEGIN IMMEDIATE")
        try:
            async with engine.begin() as connection:
                revision = await connection.run_sync(schema.revision_of, self.name)
                due = schema.due(revision, self.name)  # Another process may have been faster.
                if due and revision is not None:
                    copy = await asyncio.to_thread(_copy, self._path, revision)
                    _log.info("the database is migrated from %s to %s; a copy: %s", revision, schema.head(), copy)
                if due:
                    await connection.run_sync(schema.upgrade)
                    await connection.run_sync(_check_references)
        finally:
            await engine.dispose()
        return due

    async def lock(self, session: AsyncSession, group: str) -> None:
        """Nothing to do: ``BEGIN IMMEDIATE`` lets in one writer at a time."""

    async def has_news(self) -> bool:
        """Whether anybody, in any process, committed something since this was last asked; the first time, True.

        Cheap: it reads one number from shared memory.
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

    async def close(self) -> None:
        """Give the connections back."""
        await self._stop_watching()
        await self.reading.dispose()

    def failing(self, error: Exception) -> BaseException | None:
        """What is wrong with the database, if that is what the error tells: a disk that is full or gone."""
        return error.orig if isinstance(error, OperationalError) else None

    def _engine(self, *, foreign_keys: bool, **pool: Any) -> AsyncEngine:
        engine = create_async_engine(
            URL.create("sqlite+aiosqlite", database=str(self._path)),
            # isolation_level None: the driver leaves BEGIN to us, which says how (see _begin).
            connect_args={"timeout": _BUSY_SECONDS, "isolation_level": None},
            **pool,
        )

        def configure(connection: Any, _record: Any) -> None:
            cursor = connection.cursor()
            cursor.execute("PRAGMA synchronous = FULL")
            cursor.execute(f"PRAGMA foreign_keys = {int(foreign_keys)}")
            cursor.close()

        event.listen(engine.sync_engine, "connect", configure)
        event.listen(engine.sync_engine, "begin", _begin)
        return engine

    async def _stop_watching(self) -> None:
        if self._watch is not None:
            watch, self._watch = self._watch, None
            self._seen_version = None
            await watch.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("hub_begin", "BEGIN"))


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


def _copy(path: Path, revision: str) -> Path:
    """Copy the database as it is now to a file beside it, which is named after its schema. Blocks."""
    copy = path.with_name(f"{path.name}.at-{revision}")
    draft = copy.with_name(copy.name + ".part")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    with contextlib.closing(sqlite3.connect(path)) as source, contextlib.closing(sqlite3.connect(draft)) as target:
        source.backup(target)
    draft.replace(copy)
    return copy


def _check_references(connection: Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise RuntimeError(f"A migration left a row of {broken[0]} that refers to nothing in {broken[2]}.")
