"""A shop with a hub inside: ``uvicorn tests.embedded_app:app``. ``WITHOUT_HUB``: it is where ``HUB_URL`` says."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from hub_client import AsyncPublisher, Refused
from hub_client.fastapi import HubPublisher

from hub.embed import EmbeddedHub

publishing = HubPublisher(name="shop")
hub = None if os.environ.get("WITHOUT_HUB") else EmbeddedHub()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        if hub is not None:
            await stack.enter_async_context(hub.running())
        await stack.enter_async_context(publishing)
        yield


app = FastAPI(lifespan=lifespan)
if hub is not None:
    hub.mount(app, "/hub")


@app.post("/orders/{user}/{order}")
async def order(user: str, order: int, publisher: Annotated[AsyncPublisher, Depends(publishing)]) -> str | None:
    receipt = await publisher.publish("order.paid", {"order": order}, users=[user], id=f"order-{order}")
    return receipt.cursor


@app.post("/many/{count}")
async def many(count: int, publisher: Annotated[AsyncPublisher, Depends(publishing)]) -> list[str]:
    async with publisher.buffer() as buffer:
        futures = [await buffer.add("n", number, topics=["many"]) for number in range(count)]
        await buffer.flush()
    return [future.result().id for future in futures]


@app.post("/refused")
async def refused(publisher: Annotated[AsyncPublisher, Depends(publishing)]) -> None:
    try:
        await publisher.publish_many([{"type": "x", "all": True}, {"type": "hub.x", "all": True}])
    except Refused as error:
        raise HTTPException(error.status or 500, [error.code, error.index]) from None
