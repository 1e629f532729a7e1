"""PostgreSQL: one database for many hubs.

What SQLite gives by having one writer at a time is given here by a lock that ``Store.write`` takes first in its
transaction: whoever holds it is the only one that adds rows whose order matters, in all hubs. PostgreSQL lets go of it
after the commit can be seen, so the next one reads what the last one wrote. Writers who have tables to themselves
(``Store.write_apart``) have a lock to themselves. A hub that stops in the middle of a transaction is cut off by the
server (``idle_in_transaction_session_timeout``), or its lock would stop all others.

No wait is without an end: connections are made, statements run, locks and free connections waited for within
``database_timeout``. Knows schema and settings.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from time import monotonic
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakSet

import asyncpg
from sqlalchemy import Connection, NullPool, event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from hub.database import schema
from hub.settings import SettingsError

_WRITER_LOCK = 0x6875622D << 32
"""Advisory locks are numbers, shared by all who use the database: "hub-", and a hash of the group's name."""
_IDLE_SECONDS = 5.0
"""A connection that nobody used for so long is tried before it is used: what lies between may have forgotten it."""
_GOODBYE_SECONDS = 2.0
_FAILING = (
    "08", "40", "53", "55P03", "57", "58", "25P03", "25006",
)  # fmt: skip
"""Beginnings of SQLSTATEs that are the server's state and no bug of ours: connection lost, deadlock, out of resources,
lock or statement timed out, shutting down, I/O error, cut off while idle, a server that may not write (a standby)."""
_READ_ONLY = "25006"
_CONNECTING: tuple[type[Exception], ...] = (
    OSError, NoConnectionFree, asyncpg.PostgresError, asyncpg.InterfaceError,
)  # fmt: skip
"""What is raised while a connection is made, or waited for. SQLAlchemy translates what comes later."""
_EVERYTHING: tuple[type[Exception], ...] = (SQLAlchemyError, ValueError, *_CONNECTING)

_log = logging.getLogger(__name__)


class Postgresql:
    """The database at a URL, for ``Store``. ``pool`` connections at most; ``timeout`` in seconds."""

    one_writer = False

    def __init__(self, url: str, *, pool: int, timeout: float) -> None:
        self._dsn = url
        self.name = _without_secrets(url)
        self.patience: float | None = timeout
        self._timeout = timeout
        self._made: WeakSet[asyncpg.Connection] = WeakSet()
        engine = self._engine(pool_size=pool, max_overflow=0, pool_timeout=timeout)
        event.listen(engine.sync_engine, "checkin", _note_time)
        event.listen(engine.sync_engine, "checkout", _refuse_dead)
        event.listen(engine.sync_engine, "handle_error", _forget_standby)
        self._pool = engine
        # One state for all that a transaction reads; no promise of it where the lock is to be waited for first.
        self.reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self.writing = engine.execution_options(isolation_level="READ COMMITTED")

    async def open(self, *, migrate: bool) -> None:
        """Check that the schema is the one this hub needs; with ``migrate``, see to it.

        Raises ``SettingsError`` if it is not, or if there is no database to be had.
        """
        due = schema.due(await self.revision(), self.name)
        if due and not migrate:
            raise SettingsError(
                f"The database {self.name} lacks {_counted(due)}: run `hub migrate` with the settings of this hub, or "
                "set HUB_DATABASE_MIGRATE=true to have hubs do it when they start."
            )
        if due:
            await self.upgrade()

    async def revision(self) -> str | None:
        """The newest migration that the database has had. Raises ``SettingsError`` if it cannot be had."""
        try:
            async with self.reading.connect() as connection:
                return await connection.run_sync(schema.revision_of, self.name)
        except _EVERYTHING as error:
            raise SettingsError(f"The database {self.name} cannot be had: {_cause(error)}.") from None

    async def upgrade(self) -> tuple[schema.Migration, ...]:
        """Apply what is due, in one transaction; returns what was applied. Others who want the same wait for it.

        Raises ``SettingsError``.
        """
        # Statements may take as long as they need; a lock on a table that is in use is waited for in vain, and shortly,
        # since all others then wait behind us.
        engine = self._engine(poolclass=NullPool, statement_timeout="0")
        try:
            async with engine.begin() as connection:
                await connection.run_sync(_lock)
                due = schema.due(await connection.run_sync(schema.revision_of, self.name), self.name)
                if due:
                    _log.info("the database %s is migrated to %s", self.name, schema.head())
                    await connection.run_sync(schema.upgrade)
        except _EVERYTHING as error:
            raise SettingsError(f"The database {self.name} cannot be migrated: {_cause(error)}.") from None
        finally:
            await engine.dispose()
        return due

    async def lock(self, session: AsyncSession, group: str) -> None:
        """Wait until this transaction is the only one of its group, until it ends."""
        await session.run_sync(lambda inner: _lock(inner.connection(), group))

    async def has_news(self) -> bool:
        """Always: to ask costs as much as to look."""
        return True

    async def close(self) -> None:
        """Give the connections back, all at once: a server that hangs says goodbye to none of them."""
        await asyncio.gather(*(_end(connection) for connection in list(self._made)))
        await self._pool.dispose()

    def failing(self, error: Exception) -> BaseException | None:
        """What is wrong with the database, if that is what the error tells."""
        if isinstance(error, DBAPIError):
            state = getattr(error.orig, "sqlstate", None)
            down = error.connection_invalidated or (state is None and _is_interface(error)) or _is_failing(state)
            cause: BaseException = error.orig or error
            return cause if down else None
        if isinstance(error, TimeoutError) and not str(error):
            return TimeoutError("PostgreSQL does not answer")
        return error if isinstance(error, _CONNECTING) else None

    def _engine(self, *, statement_timeout: str | None = None, **pool: Any) -> AsyncEngine:
        limit = str(int(self._timeout * 1000))
        migrating = statement_timeout is not None
        server_settings = {
            "application_name": "notification-hub",
            "statement_timeout": limit if statement_timeout is None else statement_timeout,
            "lock_timeout": limit,
            "idle_in_transaction_session_timeout": limit,
        }

        async def connect() -> asyncpg.Connection:
            connection = await asyncpg.connect(
                self._dsn,
                timeout=self._timeout,
                # Later than the server's own, whose answer says more.
                command_timeout=None if migrating else self._timeout + 1,
                server_settings=server_settings,
            )
            self._made.add(connection)
            return connection

        return create_async_engine("postgresql+asyncpg://", async_creator=connect, **pool)


async def _end(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=_GOODBYE_SECONDS)
    except Exception:  # Whatever it is: it is to end.
        connection.terminate()


def _lock(connection: Connection, group: str = "") -> None:
    key = _WRITER_LOCK | zlib.crc32(group.encode())
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


def _note_time(_connection: Any, record: Any) -> None:
    record.info["used_at"] = monotonic()


def _refuse_dead(connection: Any, record: Any, _proxy: Any) -> None:
    """Give out no connection that the server has ended; SQLAlchemy then makes another one.

    The driver notices an end by itself, so this costs nothing where connections are busy.
    """
    alive = not connection.driver_connection.is_closed()
    if alive and monotonic() - record.info.get("used_at", monotonic()) > _IDLE_SECONDS:
        try:
            connection.ping()
        except Exception:  # Whatever it is, this connection is not given out.
            alive = False
    if not alive:
        raise DisconnectionError


def _forget_standby(context: Any) -> None:
    """After a failover, connections to what is a standby now are of no use: all are made anew."""
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
        context.is_disconnect = True


def _is_failing(state: str | None) -> bool:
    return state is not None and state.startswith(_FAILING)


def _is_interface(error: DBAPIError) -> bool:
    """Whether it is the driver that refuses: a connection that is closed, or still busy with what was given up."""
    return type(error).__name__ == "InterfaceError"


def _cause(error: BaseException) -> str:
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    if isinstance(error, TimeoutError) and not str(error):
        return "it does not answer"
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    return said.removeprefix("<class 'asyncpg.exceptions.").rstrip(".")


def _counted(due: tuple[schema.Migration, ...]) -> str:
    return f"{len(due)} migration{'s' if len(due) > 1 else ''}"


def _without_secrets(dsn: str) -> str:
    """The URL for people: without user, password and parameters."""
    parts = urlsplit(dsn)
    return f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"
