"""A reader of server-sent events on a bare socket, written from the standard (WHATWG HTML, 9.2.5 and 9.2.6).

Like ``raw``: to be slow, to be rude, and to see the bytes. A browser's own reader is in ``tests/browser``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from tests.hub_process import HubProcess

from .http_client import Client


class Event(NamedTuple):
    """What a page would be handed."""

    name: str
    data: str
    last_id: str

    @property
    def json(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.data)
        return said


class Parser:
    """The standard's interpretation of a stream, line by line."""

    def __init__(self) -> None:
        self.last_id = ""
        self.retry: int | None = None
        self.comments = 0
        self._left = b""
        self._clear()
        self._id = ""

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that are whole with these bytes."""
        assert b"\r" not in data, "it would end a line, too"
        lines = (self._left + data).split(b"\n")
        self._left = lines.pop()
        for line in lines:
            found = self._line(line.decode())
            if found is not None:
                yield found

    def _clear(self) -> None:
        self._name = ""
        self._data: list[str] = []

    def _line(self, line: str) -> Event | None:
        if line == "":
            self.last_id = self._id
            event = Event(self._name or "message", "\n".join(self._data), self.last_id) if self._data else None
            self._clear()
            return event
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "":
                self.comments += 1
            case "event":
                self._name = value
            case "data":
                self._data.append(value)
            case "id":
                self._id = value
            case "retry":
                self.retry = int(value)
            case _:
                raise AssertionError(f"the hub says no such thing: {line!r}")
        return None


class Stream:
    """One stream after the head of its answer."""

    def __init__(self, client: Client, status: int, headers: dict[str, str], body: bytes) -> None:
        self.client = client
        self.status = status
        self.headers = headers
        self.body = body
        """Of a refusal."""
        self.parser = Parser()
        self.last_id = ""
        """That of the newest event that was handed out."""
        self._ready: list[Event] = []

    @classmethod
    async def open(
        cls,
        hub: HubProcess,
        bearer: str | None = None,
        /,
        *headers: str,
        version: str = "1.1",
        receive_buffer: int | None = None,
        **query: str,
    ) -> Stream:
        """Ask for it, with the token in the header."""
        client = await Client.connect(hub, receive_buffer)
        client.writer.write(request(bearer, *headers, version=version, **query))
        return await cls.answered(client)

    @classmethod
    async def answered(cls, client: Client) -> Stream:
        """Read the head of an answer that was asked for."""
        async with asyncio.timeout(10):
            first, *lines = (await client.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
            names = [line.partition(":")[0] for line in lines]
            assert len(set(names)) == len(names), lines
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            length = int(headers.get("content-length", "0"))
            return cls(client, int(first.split()[1]), headers, await client.reader.readexactly(length))

    async def next(self) -> Event:
        """The next event; raises ``EOFError`` at the end."""
        async with asyncio.timeout(15):
            while not self._ready:
                self._ready += self.parser.feed(await self._read())
        event = self._ready.pop(0)
        self.last_id = event.last_id
        return event

    async def _read(self) -> bytes:
        reader = self.client.reader
        if self.headers.get("transfer-encoding") != "chunked":  # The hub's own server's never are.
            data = await reader.read(65536)
        else:
            try:
                data = await reader.readexactly(int(await reader.readline() or b"0", 16))
                await reader.readline()
            except asyncio.IncompleteReadError:
                raise EOFError from None
        if not data:
            raise EOFError
        return data

    async def until(self, name: str) -> Event:
        """The next one of a name."""
        while (event := await self.next()).name != name:
            pass
        return event

    async def numbers(self, count: int) -> list[int]:
        """What the next events say as ``n``."""
        return [(await self.until("message")).json["event"]["data"]["n"] for _ in range(count)]

    async def rest(self) -> list[Event]:
        """All until the end, however that comes."""
        events = []
        try:
            while True:
                events.append(await self.next())
        except (EOFError, ConnectionError):
            return events
        finally:
            self.cut()

    async def end(self) -> tuple[int, str]:
        """Read until the end: what the goodbye says; 1006 without one."""
        last = (await self.rest() or [Event("", "", "")])[-1]
        return (last.json["code"], last.json["reason"].partition(":")[0]) if last.name == "close" else (1006, "")

    def cut(self) -> None:
        self.client.cut()


def request(bearer: str | None, /, *headers: str, method: str = "GET", version: str = "1.1", **query: str) -> bytes:
    """The request's bytes."""
    target = "/v1/sse" + (f"?{urlencode(query)}" if query else "")
    lines: Sequence[str] = [f"{method} {target} HTTP/{version}", "Host: hub", "Accept: text/event-stream", *headers]
    if bearer is not None:
        lines = [*lines, f"Authorization: Bearer {bearer}"]
    return "\r\n".join([*lines, "", ""]).encode()
