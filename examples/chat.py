"""A chat: `python examples/chat.py`, then http://127.0.0.1:8100/ in two windows.

The server does nothing but say who may read and write what. Messages go over the browsers' own connections: durable
ones for what is said, ephemeral ones for who is typing, presence for who is there.
"""

import os
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.responses import FileResponse

from hub.embed import EmbeddedHub

HERE = Path(__file__)

hub = EmbeddedHub(data_dir=os.environ.get("HUB_DATA_DIR", "data/chat"))
app = FastAPI(title="Chat", lifespan=hub.lifespan)
hub.mount(app, "/hub")


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(HERE.with_suffix(".html"))


@app.post("/token/{user}")
async def token(user: str) -> str:
    # Here anybody may be anyone. Your app gives this to the person who is logged in.
    return hub.token(user, subscribe=["chat:*"], publish=["chat:*"], topics=["chat:lobby"])


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8100")))
