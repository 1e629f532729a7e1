"""What a relay does with the table, on a plain connection: also an async one's, by ``run_sync``.

Any number of relays may be at work. Each takes, of every key, all that waits from the oldest on, and nothing else: so
whoever publishes whatever first, no event overtakes an older one of its key, and ids make the rest harmless. On
PostgreSQL row locks (``SKIP LOCKED``) and a lock for each key keep them from doing the same work twice; these end with
the connection, so that a relay which is killed leaves nothing behind.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy import Connection, Dialect, delete, func, select, update
from sqlalchemy.exc import SQLAlchemyError

from hub_client.outbox._outbox import Outbox
from hub_client.outbox._round import Round, Row

_RELAYS = 0x6875_6202


class Store:
    """The table, for a relay. ``take``, publish, ``settle``, on one connection; transactions begin and end in here."""

    def __init__(self, outbox: Outbox, limit: int) -> None:
        self._table = outbox.table
        self._limit = limit

    def take(self, connection: Connection) -> list[Row]:
        """The next rows, in order. On PostgreSQL they are locked until ``settle``, or until the connection is closed.

        Elsewhere no transaction is kept open for as long as publishing takes.
        """
        table = self._table
        waiting = table.c.parked_at.is_(None)
        wanted = (
            select(table.c.id, table.c.event_id, table.c.key, table.c.body)
            .where(waiting)
            .order_by(table.c.id)
            .limit(self._limit)
        )
        if connection.dialect.name != "postgresql":
            rows = [Row(*row) for row in connection.execute(wanted)]
            connection.rollback()
            return rows
        rows = [Row(*row) for row in connection.execute(wanted.with_for_update(skip_locked=True))]
        first: dict[str, int] = {}
        for row in rows:
            if row.key is not None:
                first.setdefault(row.key, row.id)
        ours = self._own_keys(connection, list(first.values()))
        taken = {row.id for row in rows}
        blocked: dict[str, int] = {}
        if ours:
            # Rows that another relay had when we looked, or has still without having their key, are not passed by. Of
            # each key, what goes is all that waits, up to the first that is not ours.
            until = select(table.c.key, table.c.id).where(waiting, table.c.key.in_(ours), table.c.id <= rows[-1].id)
            for key, id in connection.execute(until.order_by(table.c.id)):
                if id not in taken:
                    blocked.setdefault(key, id)
        return [
            row for row in rows if row.key is None or (row.key in ours and row.id < blocked.get(row.key, row.id + 1))
        ]

    def settle(self, connection: Connection, done: Round) -> float:
        """Delete what was sent, park what was refused. Returns for how long the oldest that waits has, in seconds."""
        table = self._table
        sent = [row.id for row in done.sent]
        for start in range(0, len(sent), 500):
            connection.execute(delete(table).where(table.c.id.in_(sent[start : start + 500])))
        for row, refusal in done.parked:
            values = {"parked_at": time.time(), "code": refusal.code, "reason": refusal.detail}
            connection.execute(update(table).where(table.c.id == row.id).values(values))
        connection.commit()
        oldest = select(table.c.created_at).where(table.c.parked_at.is_(None)).order_by(table.c.id).limit(1)
        created = connection.execute(oldest).scalar()
        connection.rollback()
        return 0.0 if created is None else max(0.0, time.time() - created)

    def _own_keys(self, connection: Connection, first_of_each: Sequence[int]) -> set[str]:
        """The keys that no other relay is at, of those of these rows; held until the transaction ends."""
        if not first_of_each:
            return set()
        table = self._table
        lock = func.pg_try_advisory_xact_lock(_RELAYS, func.hashtext(table.c.key))
        keys = connection.execute(select(table.c.key, lock).where(table.c.id.in_(first_of_each)))
        return {key for key, is_ours in keys if is_ours}


def what_a_database_raises(dialect: Dialect) -> tuple[type[Exception], ...]:
    """Whatever happens to a connection, or while it is made or waited for.

    SQLAlchemy passes the errors of ``asyncpg.connect`` on as they are (2.0), such as that the server starts up.
    """
    asyncpg = getattr(dialect.loaded_dbapi, "asyncpg", None)
    raw = () if asyncpg is None else (asyncpg.PostgresError, asyncpg.InterfaceError)
    return (SQLAlchemyError, OSError, *raw)
