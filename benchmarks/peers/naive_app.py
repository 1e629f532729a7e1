"""The application behind ``naive``."""

from __future__ import annotations

import os
from typing import Any

import jwt
from fastapi import Body, FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()
connections: dict[str, WebSocket] = {}


@app.websocket("/ws")
async def subscribe(websocket: WebSocket, token: str) -> None:
    claims = jwt.decode(token, os.environ["SECRET"], algorithms=["HS256"], audience="notification-hub")
    user = claims["sub"]
    await websocket.accept()
    connections[user] = websocket
    try:
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect:
        pass
    finally:
        connections.pop(user, None)


@app.websocket("/publish")
async def publish(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        for connection in list(connections.values()):
            await connection.send_text(text)


@app.post("/users/{user}", status_code=202)
async def unicast(user: str, event: dict[str, Any] = Body()) -> dict[str, str]:  # noqa: B008
    await connections[user].send_json(event)
    return {"status": "sent"}
