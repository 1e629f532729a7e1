"""A name for each request, so that what a caller saw and what the log says can be put together. Plain ASGI.

A caller's or a proxy's ``X-Request-ID`` is taken, if it is one; otherwise the request gets one. The answer has it, and
so has every log line that is written meanwhile. (A publish that takes the short way before ASGI has the one that it
names, and otherwise none: its event has an id.) Knows only ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextvars import ContextVar

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.ids import random_id

HEADER = b"x-request-id"
# Nothing that could end a line, break out of a JSON string, or fill a log.
_SANE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")

current: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request that this task works for; empty if there is none."""


def given(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The one that the headers name; empty if they name none, or something else."""
    return sane(next((value.decode("latin-1") for name, value in headers if name == HEADER), ""))


def sane(text: str) -> str:
    """The text, if it may be a request's id; otherwise nothing."""
    return text if _SANE.fullmatch(text) else ""


class RequestIds:
    """Gives each request its id, and each answer that of its request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = given(scope["headers"]) or f"r_{random_id()}"
        # Not taken back: each request has a task of its own, and what the server logs of a failure comes last.
        current.set(request_id)

        async def with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        await self._app(scope, receive, with_id)
