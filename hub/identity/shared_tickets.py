"""Tickets that wait in the database, where any of several hubs finds them: a balancer sends the stream to whichever.

Promises: of all who race for a ticket one gets it, on one hub; who reads the database has no token by that, since each
is sealed with a key that is made of its ticket, of which only the hash is kept. A ticket's life is counted by the
database's clock, whatever the hubs' say. Only for PostgreSQL. Knows store, models, passwords and errors.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import ColumnElement, Double, cast, delete, extract, func, insert, select

from hub.database.store import Store
from hub.errors import HubError
from hub.identity.models import WaitingTicket
from hub.identity.passwords import digest

MAX_OUTSTANDING = 32
"""Tickets of one user or service that wait to be redeemed: tabs that reconnect at the same moment."""
_NONCE = bytes(12)  # A key seals one token only.


@dataclass(frozen=True, slots=True)
class Taken:
    """What stood behind a ticket. ``life``: seconds that it still had."""

    token: str
    life: float


class SharedTickets:
    """The tickets of all hubs on one database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def put(self, ticket: str, owner: str, token: str, life: float) -> None:
        """Keep the token behind the ticket for ``life`` seconds.

        Raises ``too_many_attempts`` if the owner has ``MAX_OUTSTANDING``, ``database_unavailable``.
        """
        async with self._store.write_beside() as db:
            mine = (WaitingTicket.owner == owner, WaitingTicket.ends_at > _now())
            if (await db.scalar(select(func.count()).where(*mine)) or 0) >= MAX_OUTSTANDING:
                raise HubError(
                    "too_many_attempts",
                    f"You have {MAX_OUTSTANDING} tickets that nobody used; they end within {life:.0f} s.",
                    retry_after=int(life) or 1,
                )
            await db.execute(
                insert(WaitingTicket).values(
                    name=digest(ticket), owner=owner, sealed=_seal(ticket, token), ends_at=_now() + life
                )
            )

    async def take(self, ticket: str) -> Taken | None:
        """What stands behind the ticket, to one caller; None to all others, and after its life.

        Raises ``database_unavailable``.
        """
        taken = delete(WaitingTicket).where(WaitingTicket.name == digest(ticket))
        taking = taken.returning(WaitingTicket.sealed, WaitingTicket.ends_at - _now())
        async with self._store.write_beside() as db:
            row = (await db.execute(taking)).one_or_none()
        if row is None or row[1] <= 0:
            return None
        return Taken(_open(ticket, row[0]), row[1])


def _now() -> ColumnElement[float]:
    return cast(extract("epoch", func.clock_timestamp()), Double)


def _key(ticket: str) -> AESGCM:
    return AESGCM(hashlib.sha256(f"what the ticket {ticket} opens".encode()).digest())


def _seal(ticket: str, token: str) -> str:
    return base64.b64encode(_key(ticket).encrypt(_NONCE, token.encode(), None)).decode()


def _open(ticket: str, sealed: str) -> str:
    return _key(ticket).decrypt(_NONCE, base64.b64decode(sealed), None).decode()
