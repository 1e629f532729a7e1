"""The tables that the outbox's tests write to, and processes to be killed: ``python -m tests.clients.outbox.app``.

``write <database> <prefix> <tenths>``: an application that commits orders with their events, several a transaction, and
prints the number of each order that is committed. Every third transaction is rolled back.

``relay <database> <hub> <service> <secret>``: a relay; it prints a line for each round that sent something.
"""

from __future__ import annotations

import asyncio
import sys

from hub_client import AsyncPublisher
from hub_client.outbox import AsyncRelay, Outbox, Progress
from sqlalchemy import String
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The application's own tables, and the outbox among them."""


class Order(Base):
    """What the events tell of."""

    __tablename__ = "orders"
    name: Mapped[str] = mapped_column(String(40), primary_key=True)


outbox = Outbox(Base.metadata)


async def write(database: str, prefix: str) -> None:
    """Commit, and roll back, until it is killed."""
    engine = create_async_engine(database)
    number = 0
    while True:
        async with AsyncSession(engine) as session:
            session.add(Order(name=f"{prefix}-{number}"))
            for part in range(2):
                data = [prefix, number, part]
                outbox.add(session, "order", data, topics=["orders"], key=f"key-{number % 3}")
            if number % 3 == 2:
                await session.flush()
                await session.rollback()
            else:
                await session.commit()
        print(number, flush=True)
        number += 1


async def relay(database: str, hub: str, service: str, secret: str) -> None:
    """Relay until it is killed."""

    def tell(progress: Progress) -> None:
        if progress.sent or progress.error:
            print(progress.sent, progress.error, flush=True)

    async with AsyncPublisher(hub, service_id=service, service_secret=secret) as publisher:
        engine = create_async_engine(database)
        await AsyncRelay(engine, outbox, publisher, poll=0.02, limit=7, on_progress=tell).run()


if __name__ == "__main__":
    work = {"write": write, "relay": relay}[sys.argv[1]]
    asyncio.run(work(*sys.argv[2:]))
