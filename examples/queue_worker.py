"""A queue worker: `python examples/queue_worker.py`. It finds the factors of numbers, and goes on where it was.

`curl -X POST http://127.0.0.1:8100/numbers/6469693230` puts one into the queue. The worker takes one event after the
other from its place in the log, which it keeps in a file, and publishes what it found under an id made from the job's:
should it be killed between the two, it does the job again, and the second result is recognised as the first. Results go
to the topic `results`; `GET /results` shows the newest.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI
from fastapi import Path as InPath
from hub_client import AsyncClient, AsyncPublisher, AsyncSubscription, CursorFile
from hub_client.fastapi import HubPublisher

from hub.embed import EmbeddedHub

DATA = Path(os.environ.get("HUB_DATA_DIR", "data/queue_worker"))
PORT = int(os.environ.get("PORT", "8100"))

hub = EmbeddedHub(data_dir=DATA)
publishing = HubPublisher(name="queue")


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with hub.running(), asyncio.TaskGroup() as tasks:
        working = tasks.create_task(work())
        yield
        working.cancel()


app = FastAPI(title="Queue worker", lifespan=lifespan)
hub.mount(app, "/hub")


@app.post("/numbers/{number}", status_code=202)
async def put(
    number: Annotated[int, InPath(gt=1, lt=10**12)], publisher: Annotated[AsyncPublisher, Depends(publishing)]
) -> str:
    receipt = await publisher.publish("number", number, topics=["jobs"])
    return receipt.id


@app.get("/results")
async def results() -> list[Any]:
    async with AsyncClient(url(), token=token) as client:
        return [event.data for event in await client.history("results", limit=20)]


async def work() -> None:
    """In a real system this is a process of its own, on any machine."""
    publisher = hub.publisher("worker")
    async with AsyncSubscription(url(), "jobs", CursorFile(DATA / "worker.cursor"), token=token) as jobs:
        async for job in jobs:
            factors = await asyncio.to_thread(factorise, job.data)
            await publisher.publish(
                "factors", {"number": job.data, "factors": factors}, topics=["results"], id=f"{job.id}-factors"
            )


def factorise(number: int) -> list[int]:
    factors, divisor = [], 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            factors.append(divisor)
            number //= divisor
        divisor += 1
    return factors + [number] * (number > 1)


def url() -> str:
    return f"http://127.0.0.1:{PORT}/hub"


def token() -> str:
    return hub.token("worker", subscribe=["jobs", "results"], service=True)


if __name__ == "__main__":
    uvicorn.run(app, port=PORT)
