"""Order status, with an outbox: `python examples/order_status.py`, then http://127.0.0.1:8100/.

Each step of an order and the event that tells of it are one transaction of the shop's own database: there is no step
that nobody heard of, and no event of a step that was rolled back. `kill -9` it at any moment and start it again.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.responses import FileResponse
from hub_client.outbox import AsyncRelay, Outbox
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from hub.embed import EmbeddedHub

HERE = Path(__file__)
DATA = Path(os.environ.get("HUB_DATA_DIR", "data/order_status"))
STEPS = ("paid", "packed", "sent", "delivered")


class Base(DeclarativeBase):
    """The shop's tables."""


class Order(Base):
    """What somebody bought, and how far it is."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    user: Mapped[str]
    item: Mapped[str]
    step: Mapped[int] = mapped_column(default=0)


outbox = Outbox(Base.metadata)
hub = EmbeddedHub(data_dir=DATA)
engine = create_async_engine(f"sqlite+aiosqlite:///{DATA / 'shop.db'}")


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with hub.running(), asyncio.TaskGroup() as tasks:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        relay = AsyncRelay(engine, outbox, hub.publisher("shop"), poll=0.1)
        relaying, working = tasks.create_task(relay.run()), tasks.create_task(work())
        yield
        relaying.cancel()
        working.cancel()
    await engine.dispose()


app = FastAPI(title="Order status", lifespan=lifespan)
hub.mount(app, "/hub")


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(HERE.with_suffix(".html"))


@app.post("/token/{user}")
async def token(user: str) -> str:
    # Here anybody may be anyone. Your app gives this to the person who is logged in.
    return hub.token(user)


@app.post("/orders/{user}", status_code=201)
async def buy(user: str, item: str) -> int:
    async with AsyncSession(engine) as session, session.begin():
        order = Order(user=user, item=item)
        session.add(order)
        await session.flush()
        tell(session, order)
        return order.id


async def work() -> None:
    """The people in the warehouse: every second they take each order a step further."""
    while True:
        await asyncio.sleep(1)
        async with AsyncSession(engine) as session, session.begin():
            for order in await session.scalars(select(Order).where(Order.step < len(STEPS) - 1)):
                order.step += 1
                tell(session, order)


def tell(session: AsyncSession, order: Order) -> None:
    step = STEPS[order.step]
    outbox.add(
        session,
        f"order.{step}",
        {"order": order.id, "item": order.item, "step": step},
        users=[order.user],
        id=f"order-{order.id}-{step}",
        key=f"order:{order.id}",
        collapse_key=f"order:{order.id}",
        display={"title": f"{order.item}: {step}"},
    )


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8100")))
