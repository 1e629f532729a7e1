"""The application behind ``python_socketio``."""

from __future__ import annotations

import json
import os
from typing import Any

import jwt
import socketio  # type: ignore[import-untyped]

io = socketio.AsyncServer(async_mode="asgi", transports=["websocket"])
_sockets = socketio.ASGIApp(io)


@io.event  # type: ignore[untyped-decorator]
async def connect(sid: str, environ: dict[str, Any], auth: dict[str, str]) -> None:
    claims = jwt.decode(auth["token"], os.environ["SECRET"], algorithms=["HS256"], audience="notification-hub")
    if claims["sub"] != "publisher":
        await io.enter_room(sid, "all")
        await io.enter_room(sid, claims["sub"])


@io.event  # type: ignore[untyped-decorator]
async def publish(sid: str, event: Any) -> None:
    await io.emit("event", event, room="all")


async def app(scope: Any, receive: Any, send: Any) -> None:
    """ASGI: a POST to /users/<user> emits to the user's room, everything else is Socket.IO's."""
    if scope["type"] != "http" or not scope["path"].startswith("/users/"):
        await _sockets(scope, receive, send)
        return
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await io.emit("event", json.loads(body), room=scope["path"].removeprefix("/users/"))
    await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
