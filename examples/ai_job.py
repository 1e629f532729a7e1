"""An AI job that streams to the browser: `python examples/ai_job.py`, then http://127.0.0.1:8100/.

While the model works, its tokens and its progress are ephemeral events: lowest latency, no disk, gone if nobody looks.
The result is one durable event, so that who reloads the page, or closes the laptop meanwhile, gets it all the same.
"""

import asyncio
import os
import random
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import uvicorn
from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import FileResponse
from hub_client import AsyncPublisher

from hub.embed import EmbeddedHub

HERE = Path(__file__)
LENGTH = 60

hub = EmbeddedHub(data_dir=os.environ.get("HUB_DATA_DIR", "data/ai_job"))
app = FastAPI(title="AI job", lifespan=hub.lifespan)
hub.mount(app, "/hub")
publisher: AsyncPublisher = hub.publisher("model")


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(HERE.with_suffix(".html"))


@app.post("/token/{user}")
async def token(user: str) -> str:
    # Here anybody may be anyone. Your app gives this to the person who is logged in.
    return hub.token(user)


@app.post("/jobs/{user}", status_code=202)
async def start(user: str, prompt: str, tasks: BackgroundTasks) -> str:
    job = uuid4().hex
    tasks.add_task(run, user, job, prompt)
    return job


async def run(user: str, job: str, prompt: str) -> None:
    words: list[str] = []
    async for word in generate(prompt):
        words.append(word)
        await publisher.publish("job.token", {"job": job, "text": word}, users=[user], durable=False)
        if len(words) % 5 == 0:
            progress = {"job": job, "percent": 100 * len(words) // LENGTH}
            await publisher.publish("job.progress", progress, users=[user], durable=False)
    await publisher.publish(
        "job.done", {"job": job, "prompt": prompt, "text": " ".join(words)}, users=[user], id=f"{job}-done"
    )


async def generate(prompt: str) -> AsyncIterator[str]:
    """Stands in for a language model: chains of words, learnt from the project's own pages."""
    text = " ".join(path.read_text() for path in sorted((HERE.parents[1] / "docs").glob("*.md")))
    followers: dict[str, list[str]] = defaultdict(list)
    learnt = re.findall(r"[A-Za-z']+[.,;:]?", text)
    for word, follower in pairwise(learnt):
        followers[word].append(follower)
    word = next((word for word in reversed(prompt.split()) if word in followers), "the")
    for _ in range(LENGTH):
        word = random.choice(followers[word] or learnt)
        yield word
        await asyncio.sleep(0.05)  # As slow as a model.


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8100")))
