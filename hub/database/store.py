"""Transactions on the database, whichever it is: to read one state; to write alone, apart or beside others.

Promises: what a transaction wrote is on disk when it ended; one that raises leaves nothing; a database that is gone is
an answer that says to come back (``database_unavailable``), within seconds, and is used again as soon as it is there
again. Knows SQLite, PostgreSQL, the base of the tables, settings and errors.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from hub.database.base import ALONE
from hub.database.sqlite import Sqlite
from hub.errors import HubError
from hub.settings import Settings

if TYPE_CHECKING:
    from hub.database.schema import Migration

_EVERYBODY = ""
"""The group of those who write alone, whatever they write."""


class Database(Protocol):
    """What SQLite and PostgreSQL have to say about themselves. ``name`` is for people, without secrets."""

    name: str
    patience: float | None
    """Seconds for which a writer waits for others of this process; None: as long as it takes."""
    reading: AsyncEngine
    writing: AsyncEngine
    one_writer: bool
    """Whether it lets in one writer at a time by itself, who waits for the others by asking again and again."""

    async def open(self, *, migrate: bool) -> None:
        """See that it can be used; raises ``SettingsError``."""

    async def revision(self) -> str | None:
        """The newest migration it has had, None if it is empty; raises ``SettingsError``."""

    async def upgrade(self) -> tuple[Migration, ...]:
        """Apply the migrations that are due; raises ``SettingsError``."""

    async def lock(self, session: AsyncSession, group: str) -> None:
        """Make the transaction, which has only begun, the only one of its group."""

    async def has_news(self) -> bool:
        """Whether somebody may have committed something since this was last asked."""

    async def close(self) -> None:
        """Give the connections back."""

    def failing(self, error: Exception) -> BaseException | None:
        """What is wrong with the database itself, if that is what the error tells."""


def database_of(settings: Settings) -> Database:
    """The database that the settings name."""
    if settings.database_url is None:
        return Sqlite(settings.data_dir)
    from hub.database.postgresql import Postgresql  # A driver that others need not load.

    return Postgresql(
        settings.database_url.get_secret_value(), pool=settings.database_pool, timeout=settings.database_timeout
    )


class Store:
    """The database of one hub, or of one command. ``open`` it, ``close`` it."""

    def __init__(self, settings: Settings) -> None:
        self._database = database_of(settings)
        self._migrate = settings.database_migrate
        self._writers: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def open(self) -> None:
        """Make or check the database; raises ``SettingsError`` if that cannot be done."""
        await self._database.open(migrate=self._migrate)

    async def close(self) -> None:
        """Give the connections back."""
        await self._database.close()

    async def has_news(self) -> bool:
        """Whether anybody, in any process, may have committed something since this was last asked; at first, True.

        Cheap enough to be asked several times a second. Raises ``database_unavailable``.
        """
        with self._told():
            return await self._database.has_news()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A transaction that only reads, and sees one state. Raises ``database_unavailable``."""
        with self._told():
            async with _transaction(self._database.reading) as session:
                yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A transaction that is the only one of its kind, in all processes: committed, and on disk, when the block
        ends; undone if it raises.

        What it reads is not changed by others that write in this way, and what it adds becomes visible in order. Keep
        it short: it waits for nothing but the database. Raises ``database_unavailable``.
        """
        # This process's writers queue here, in order; the database's own lock is for other processes.
        with self._told():
            async with self._turn(_EVERYBODY), _transaction(self._database.writing) as session:
                await self._database.lock(session, _EVERYBODY)
                session.info[ALONE] = True
                yield session

    @asynccontextmanager
    async def write_apart(self, group: str) -> AsyncIterator[AsyncSession]:
        """The same among the writers of a group, who have tables to themselves: what they do for long holds up nobody
        else, and may hold up each other.

        They add no rows to tables that are ``written_alone``. On SQLite they queue with all others. Raises
        ``database_unavailable``.
        """
        with self._told():
            async with self._turn(group), _transaction(self._database.writing) as session:
                await self._database.lock(session, group)
                yield session

    @asynccontextmanager
    async def write_beside(self) -> AsyncIterator[AsyncSession]:
        """A transaction that may write while others do: for what is done so often that it must not queue, and concerns
        few rows.

        Lock the rows that are read in order to be changed (``with_for_update``), those of one table in the order of
        their ids, and add none to tables that are ``written_alone``. On SQLite it is as ``write``. Raises
        ``database_unavailable``.
        """
        with self._told():
            turn = self._turn(_EVERYBODY) if self._database.one_writer else contextlib.nullcontext()
            async with turn, _transaction(self._database.writing) as session:
                yield session

    @asynccontextmanager
    async def _turn(self, group: str) -> AsyncIterator[None]:
        writer = self._writers[_EVERYBODY if self._database.one_writer else group]
        async with asyncio.timeout(self._database.patience):
            await writer.acquire()
        try:
            yield
        finally:
            writer.release()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """A database that is full or gone is no bug of ours: an answer that says to come back."""
        try:
            yield
        except Exception as error:
            cause = self._database.failing(error)
            if cause is None:
                raise
            raise HubError("database_unavailable") from cause


@asynccontextmanager
async def _transaction(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine, expire_on_commit=False) as session:
        await session.begin()
        try:
            yield session
            await session.commit()
        except TimeoutError:
            # A server that does not answer would not answer to a rollback, either.
            await session.invalidate()
            raise
        except BaseException:
            await session.rollback()
            raise
