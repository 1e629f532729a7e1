"""A scripted hub on a real socket, for faults that a real hub does not make on demand.

A test says what happens: ``hub.on_socket`` is called for each connection to the stream, ``hub.on_http`` for each call.
It runs on the event loop of the test, under uvicorn.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from hub_client import AsyncClient

Json = Any
Answer = tuple[int, Json] | tuple[int, Json, dict[str, str]]


def jwt(name: str = "t", lifetime: float = 900) -> str:
    """What looks like a JWT; nobody here verifies it."""
    claims = json.dumps({"sub": name, "exp": time.time() + lifetime}).encode()
    return f"eyJhbGciOiJub25lIn0.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.{name}"


def event(seq: int, **fields: Any) -> dict[str, Any]:
    """An event frame."""
    inner = {
        "id": f"id-{seq}",
        "type": fields.pop("type", "test"),
        "source": "service:test",
        "time": "2026-01-01T00:00:00.5Z",
        "data": fields.pop("data", seq),
    }
    frame = {"type": "event", "cursor": f"e:{seq}", "topic": "all", "event": inner} | fields
    return {name: value for name, value in frame.items() if value is not None}


def problem(status: int, code: str, **headers: str) -> Answer:
    """A refusal as a hub makes it."""
    return status, {"type": "about:blank", "title": code, "status": status, "detail": "Words.", "code": code}, headers


class Refuse(Exception):
    """Raised by ``on_socket`` before it accepted: the handshake is answered with this status."""

    def __init__(self, status: int, body: Json) -> None:
        self.status = status
        self.body = body


class Socket:
    """One connection to the stream, as its script sees it."""

    def __init__(self, scope: Any, receive: Any, send: Any, number: int) -> None:
        self.number = number
        self.query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        self.headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.token = self.headers.get("authorization", "").removeprefix("Bearer ")
        self._receive = receive
        self._send = send

    async def accept(self) -> None:
        await self._receive()
        await self._send({"type": "websocket.accept", "subprotocol": "hub.v1"})

    async def welcome(self, cursor: str = "", **fields: Any) -> None:
        """Accept and welcome; the cursor is the one asked for, or the start."""
        await self.accept()
        await self.send(
            {
                "type": "welcome",
                "protocol": "hub.v1",
                "connection": f"c{self.number}",
                "client": self.query["client"],
                "user": "alice",
                "topics": ["all", "user:alice"],
                "cursor": cursor or self.query.get("after", "e:0"),
                "expires": time.time() + 900,
            }
            | fields
        )

    async def send(self, frame: Json) -> None:
        text = frame if isinstance(frame, str) else json.dumps(frame)
        try:
            await self._send({"type": "websocket.send", "text": text})
        except OSError as gone:  # uvicorn's ClientDisconnected.
            raise EOFError from gone

    async def receive(self) -> dict[str, Any]:
        """The client's next frame; raises EOFError when it is gone."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            raise EOFError(message.get("code"))
        frame: dict[str, Any] = json.loads(message["text"])
        return frame

    async def close(self, code: int, reason: str = "") -> None:
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def until_closed(self) -> int:
        """Ignore the client until it goes; its close code."""
        try:
            while True:
                await self.receive()
        except EOFError as gone:
            code: int = gone.args[0]
            return code


class Call:
    """One HTTP request."""

    def __init__(self, scope: Any, body: bytes) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query = parse_qs(scope["query_string"].decode())
        self.headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.token = self.headers.get("authorization", "").removeprefix("Bearer ")
        self.body = body
        self.peer: tuple[str, int] = tuple(scope["client"])

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class FakeHub:
    """Enter it, script it, read what it got (``calls``, ``sockets``)."""

    def __init__(self) -> None:
        self.on_socket: Callable[[Socket], Awaitable[Any]] = self._serve_quietly
        self.on_http: Callable[[Call], Awaitable[Answer | None]] = self._no_answer
        self.calls: list[Call] = []
        self.sockets: list[Socket] = []
        self.lifetime = 900.0
        """Of the tokens that the default login gives."""
        self.failures: list[BaseException] = []
        self._changed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def run(self, port: int = 0, **options: Any) -> AsyncIterator[FakeHub]:
        """Serve; ``options`` are uvicorn's, such as those for TLS."""
        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            port=port,
            lifespan="off",
            log_config=None,
            ws_ping_interval=None,
            timeout_graceful_shutdown=1,
            **options,
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve(), name="fake-hub")
        while not server.started:
            await asyncio.sleep(0.001)
        self.port = server.servers[0].sockets[0].getsockname()[1]
        self.url = f"{'https' if config.is_ssl else 'http'}://127.0.0.1:{self.port}"
        try:
            yield self
        finally:
            server.should_exit = True
            await task
        if self.failures:
            raise self.failures[0]

    def paths(self) -> list[str]:
        return [call.path for call in self.calls]

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            if scope["type"] == "websocket":
                await self._stream(scope, receive, send)
            else:
                await self._answer(scope, receive, send)
        except asyncio.CancelledError:
            raise
        except BaseException as failure:
            self.failures.append(failure)
            raise

    async def _stream(self, scope: Any, receive: Any, send: Any) -> None:
        socket = Socket(scope, receive, send, len(self.sockets) + 1)
        self.sockets.append(socket)
        try:
            await self.on_socket(socket)
        except Refuse as refuse:
            headers = [(b"content-type", b"application/problem+json")]
            body = json.dumps(refuse.body).encode()
            await send({"type": "websocket.http.response.start", "status": refuse.status, "headers": headers})
            await send({"type": "websocket.http.response.body", "body": body})
        except EOFError:
            pass  # The client went while its script was at work.

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        call = Call(scope, body)
        self.calls.append(call)
        status, value, *rest = await self.on_http(call) or self._default(call)
        headers = {"content-type": "application/json"} | (rest[0] if rest else {})
        content = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        raw = [(name.encode(), text.encode()) for name, text in headers.items()]
        raw.append((b"content-length", str(len(content)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": content})

    def _default(self, call: Call) -> Answer:
        number = len(self.calls)
        match call.path:
            case "/v1/auth/login" | "/v1/auth/refresh":
                tokens = {"access_token": jwt(f"access-{number}", self.lifetime), "refresh_token": f"refresh-{number}"}
                return 200, tokens | {"token_type": "bearer", "expires_in": self.lifetime, "refresh_expires_in": 9000}
            case "/v1/auth/token":
                return 200, {"access_token": jwt(f"service-{number}"), "token_type": "bearer", "expires_in": 900}
            case "/v1/events" if call.method == "POST":
                return 200, receipts(call.json)
            case _:
                return problem(404, "not_found")

    @staticmethod
    async def _no_answer(call: Call) -> None:
        return None

    @staticmethod
    async def _serve_quietly(socket: Socket) -> None:
        await socket.welcome()
        await socket.until_closed()


def receipts(body: Any) -> Any:
    """What a hub answers to a publish body."""
    if isinstance(body, list):
        return [receipts(one) for one in body]
    durable = body.get("durable", True)
    return {
        "id": body["id"],
        "cursor": f"e:{body['id']}" if durable else None,
        "time": "2026-01-01T00:00:00Z",
        "duplicate": False,
    }


def client_of(hub: FakeHub, **options: Any) -> AsyncClient:
    """A client of the scripted hub, with a token of its own unless it is to log in."""
    client = AsyncClient(hub.url, **({"token": jwt()} if "username" not in options else {}), **options)
    # Waits are drawn about as short as the core allows.
    client._runtime._draw = lambda least, most: max(least, 0.01)
    return client


async def take(client: AsyncClient, count: int) -> list[Any]:
    """The data of the next events."""
    events = client.events()
    return [(await anext(events)).data for _ in range(count)]
