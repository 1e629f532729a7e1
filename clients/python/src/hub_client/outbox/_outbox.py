"""``Outbox``: the table, adding to it within the caller's transaction, and what an operator does with parked events."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Executable,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, registry

from hub_client._frames import encode
from hub_client._models import Json, NewEvent, Priority, as_event, said

_KEY = 200
_WRITERS = 0x6875_6201
"""The first half of the advisory locks that writers of one key hold (PostgreSQL); the second is a hash of the key."""


@dataclass(frozen=True, slots=True)
class Parked:
    """An event that the hub refused. ``code`` and ``reason`` are the hub's, ``parked_at`` is in Unix seconds."""

    id: str
    key: str | None
    body: Mapping[str, Any]
    code: str
    reason: str
    parked_at: float

    @classmethod
    def read(cls, row: Any) -> Parked:
        """Read a row of ``Outbox.select_parked``."""
        return cls(row.event_id, row.key, json.loads(row.body), row.code, row.reason, row.parked_at)


@dataclass(frozen=True, slots=True)
class Status:
    """How many events wait, how many are parked, and how long the oldest that waits has (seconds; 0: none)."""

    waiting: int
    parked: int
    lag: float

    @classmethod
    def read(cls, row: Any) -> Status:
        """Read the row of ``Outbox.select_status``."""
        lag = 0.0 if row.oldest is None else max(0.0, time.time() - row.oldest)
        return cls(row.waiting or 0, row.parked or 0, lag)


class Outbox:
    """The table ``name`` in your own metadata, so that ``create_all`` or your migrations make it.

    ``add`` is for sessions, plain and async; ``insert`` makes a statement for whoever works with connections. The
    ``select_…``, ``retry`` and ``discard`` statements are for operators: execute them with what you have.
    """

    def __init__(self, metadata: MetaData, name: str = "hub_outbox", schema: str | None = None) -> None:
        self.table = Table(
            name,
            metadata,
            # Sequences are not rolled back, so ids have gaps; of one key, they are in the order of the commits.
            Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
            Column("event_id", String(128), nullable=False, unique=True),
            Column("key", String(_KEY)),
            Column("body", Text, nullable=False),
            Column("created_at", Double, nullable=False),
            Column("parked_at", Double),
            Column("code", String(64)),
            Column("reason", Text),
            schema=schema,
            sqlite_autoincrement=True,
        )
        waits = self.table.c.parked_at.is_(None)
        Index(f"ix_{name}_key", self.table.c.key, self.table.c.id, postgresql_where=waits, sqlite_where=waits)
        self._row: type[Any] = type("OutboxRow", (), {})
        registry(metadata=metadata).map_imperatively(self._row, self.table)

    # --- Within your transaction

    def add(
        self,
        session: Session | AsyncSession,
        type: str | object,
        data: Json = None,
        *,
        users: Iterable[str] = (),
        topics: Iterable[str] = (),
        all: bool = False,
        id: str | None = None,
        key: str | None = None,
        ttl: float | None = None,
        collapse_key: str | None = None,
        priority: Priority | None = None,
        display: Mapping[str, str] | None = None,
        exclude: Iterable[str] = (),
    ) -> str:
        """Add an event to the session: it goes if the session's transaction is committed. Returns the event's id.

        ``key`` (at most 200 characters, such as ``order:7``): events of one key keep the order of their commits; to
        that end, on PostgreSQL, transactions that add to the same key wait for each other from the flush on. Without
        one, events are in no order. The other arguments are those of ``NewEvent``; all events are durable, and ``ttl``
        counts from when it is published.
        """
        return self.add_event(
            session,
            NewEvent(
                *said(type, data),
                users,
                topics,
                all,
                id,
                ttl=ttl,
                exclude=exclude,
                collapse_key=collapse_key,
                priority=priority,
                display=display,
            ),
            key=key,
        )

    def add_event(
        self, session: Session | AsyncSession, event: NewEvent | Mapping[str, Any], *, key: str | None = None
    ) -> str:
        """The same for an event that there is already (a mapping has the fields of ``NewEvent``)."""
        values = self._values(event, key)
        row = self._row()
        for name, value in values.items():
            setattr(row, name, value)
        plain = session.sync_session if isinstance(session, AsyncSession) else session
        if key is not None:
            self._lock_keys_of(plain)
        plain.add(row)
        return str(values["event_id"])

    def insert(self, event: NewEvent | Mapping[str, Any], *, key: str | None = None) -> Executable:
        """A statement that adds an event, for connections. With a ``key`` on PostgreSQL, first execute ``lock``."""
        return insert(self.table).values(self._values(event, key))

    def lock(self, key: str) -> Executable:
        """A statement that makes other transactions wait that add to this key (PostgreSQL), until this one ends."""
        return select(func.pg_advisory_xact_lock(_WRITERS, func.hashtext(key)))

    def _values(self, event: NewEvent | Mapping[str, Any], key: str | None) -> dict[str, Any]:
        if key is not None and not 0 < len(key) <= _KEY:
            raise ValueError(f"a key has 1 to {_KEY} characters")
        made = as_event(event).with_id()
        if not made.durable:
            raise ValueError("an ephemeral event is told now or never; only durable ones belong in an outbox")
        return {"event_id": made.id, "key": key, "body": encode(made.body()), "created_at": time.time()}

    def _lock_keys_of(self, session: Session) -> None:
        mark = f"hub_client.outbox {self.table.key}"
        if mark not in session.info:
            session.info[mark] = True
            event.listen(session, "before_flush", self._before_flush)

    def _before_flush(self, session: Session, context: object, instances: object) -> None:
        keys = sorted({row.key for row in session.new if isinstance(row, self._row) and row.key is not None})
        if keys:
            connection = session.connection(bind_arguments={"mapper": self._row.__mapper__})
            if connection.dialect.name == "postgresql":
                for key in keys:  # Sorted, so that no two transactions wait for each other.
                    connection.execute(self.lock(key))

    # --- For operators

    def select_status(self) -> Executable:
        """How the outbox is; ``Status.read`` reads the one row."""
        parked = self.table.c.parked_at
        waiting = parked.is_(None)
        return select(
            func.count().filter(waiting).label("waiting"),
            func.count(parked).label("parked"),
            func.min(self.table.c.created_at).filter(waiting).label("oldest"),
        )

    def select_parked(self, limit: int = 100) -> Executable:
        """The parked events, the oldest first; ``Parked.read`` reads a row."""
        parked = self.table.c.parked_at.is_not(None)
        return select(self.table).where(parked).order_by(self.table.c.id).limit(limit)

    def retry(self, ids: Sequence[str] | None = None) -> Executable:
        """Let parked events (None: all) be published again, after what they were refused for was mended."""
        return update(self.table).where(self._are_parked(ids)).values(parked_at=None, code=None, reason=None)

    def discard(self, ids: Sequence[str] | None = None) -> Executable:
        """Delete parked events (None: all)."""
        return delete(self.table).where(self._are_parked(ids))

    def _are_parked(self, ids: Sequence[str] | None) -> Any:
        parked = self.table.c.parked_at.is_not(None)
        return parked if ids is None else parked & self.table.c.event_id.in_(ids)
