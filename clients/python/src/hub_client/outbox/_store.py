"""What a relay does with the table, on a plain connection: also an async one's, by ``run_sync``.

Any number of relays may be at work. Each takes, of every key, all that waits from the oldest on, and nothing else: so
whoever publishes whatever first, no event overtakes an older one of its key, and ids make the rest harmless. On
PostgreSQL row locks (``SKIP LOCKED``) and a lock for each key keep them from doing the same work twice; these end with
the connection, so that a relay which is killed leaves nothing behind.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, select, update

from hub_client.outbox._outbox import Outbox, lag_of
from hub_client.outbox._round import Round, Row

_RELAYS = 0x6875_6202


class Store:
    """The table, for a relay. ``take``, publish, ``settle``."""

    def __init__(self, outbox: Outbox, limit: int) -> None:
        self._outbox = outbox
        self._table = outbox.table
        self._limit = limit

    def take(self, connection: Connection) -> list[Row]:
        """The next rows, in order. Where ``holds_locks``, they are this transaction's until it ends."""
        table = self._table
        waiting = table.c.parked_at.is_(None)
        wanted = (
            select(table.c.id, table.c.event_id, table.c.key, table.c.body)
            .where(waiting)
            .order_by(table.c.id)
            .limit(self._limit)
        )
        if not self.holds_locks(connection):
            return [Row(*row) for row in connection.execute(wanted)]
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

    def settle(self, connection: Connection, done: Round) -> None:
        """Delete what was sent, park what was refused."""
        table = self._table
        sent = [row.id for row in done.sent]
        for start in range(0, len(sent), 500):
            connection.execute(delete(table).where(table.c.id.in_(sent[start : start + 500])))
        for row, refusal in done.parked:
            values = {"parked_at": time.time(), "code": refusal.code, "reason": refusal.detail}
            connection.execute(update(table).where(table.c.id == row.id).values(values))

    def lag(self, connection: Connection) -> float:
        """How long the oldest event that waits has, in seconds."""
        return lag_of(self._outbox, connection)

    @staticmethod
    def holds_locks(connection: Connection) -> bool:
        """Whether rows are locked while they are published. Elsewhere a transaction is not kept open for so long."""
        return connection.dialect.name == "postgresql"

    def _own_keys(self, connection: Connection, first_of_each: Sequence[int]) -> set[str]:
        """The keys that no other relay is at, of those of these rows; held until the transaction ends."""
        if not first_of_each:
            return set()
        table = self._table
        lock = func.pg_try_advisory_xact_lock(_RELAYS, func.hashtext(table.c.key))
        keys = connection.execute(select(table.c.key, lock).where(table.c.id.in_(first_of_each)))
        return {key for key, is_ours in keys if is_ours}
