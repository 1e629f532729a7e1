"""Subscribers: sockets that shake hands, count what comes and answer pings. As little Python an event as possible."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
from collections.abc import Iterator
from typing import Any, cast

import httptools

from hub.bench import wire
from hub.bench.durations import Durations
from hub.bench.ledger import Ledger, Reader
from hub.bench.target import BenchError, Target

_PATIENCE = 15.0
"""Seconds that the hub has to welcome a subscriber."""
_WELCOME = b'"type":"welcome"'


class Group:
    """The subscribers of one topic, in one process."""

    def __init__(self, target: Target, topic: str) -> None:
        self._target = target
        self._topic = topic
        self._tls = target.tls()
        self._subscribers: set[Subscriber] = set()
        self._readers: list[Reader] = []
        self.marked = b""
        self.received = 0
        """Events of this phase, over all subscribers."""
        self.lost = 0
        """Connections that ended while nobody here ended them, in this phase."""
        self.lost_because = ""
        self.ages: Durations | None = None
        self.ledger = Ledger()

    def begin(self, marked: bytes, *, ages: bool) -> None:
        """A new phase: its events have this mark. ``ages``: whether to take the age of each."""
        self.marked = marked
        self.received = self.lost = 0
        self.lost_because = ""
        self.ages = Durations() if ages else None
        self.ledger = Ledger()
        self._readers = []
        for subscriber in self._subscribers:
            subscriber.reader = self._reader()

    def judge(self, published: dict[int, int]) -> dict[str, Any]:
        """What this phase came to, as JSON."""
        verdict = self.ledger.judge(self._readers, published)
        return {
            "verdict": [verdict.expected, verdict.missing, verdict.repeated, verdict.disordered],
            "order": self.ledger.digest,
            "ages": self.ages.pairs() if self.ages else [],
            "lost": self.lost,
            "lost_because": self.lost_because,
        }

    async def open(self, count: int, *, at_once: int, after: str | None = None) -> None:
        """Bring in ``count`` more, ``at_once`` handshakes at a time; raises ``BenchError`` for the first that fails."""
        numbers = iter(range(count))
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(at_once, count)):
                    tasks.create_task(self._bring_in(numbers, after))
        except* BenchError as errors:
            raise errors.exceptions[0] from None

    async def close(self) -> None:
        """Say goodbye to all."""
        closing = [subscriber.close() for subscriber in self._subscribers]
        self._subscribers.clear()
        if closing:
            await asyncio.wait([asyncio.ensure_future(each) for each in closing], timeout=5)

    def join(self, subscriber: Subscriber) -> None:
        """The hub welcomed a subscriber."""
        self._subscribers.add(subscriber)

    def drop(self, subscriber: Subscriber, why: str) -> None:
        """The hub, or what is in between, ended a connection."""
        if subscriber in self._subscribers:
            self._subscribers.discard(subscriber)
            self.lost += 1
            self.lost_because = why

    def take(self, subscriber: Subscriber, stream: bytes, found: wire.Scan) -> None:
        """Whole frames came."""
        tokens = wire.tokens(stream, found, self.marked)
        if tokens:
            self.received += len(tokens)
            self.ledger.take(subscriber.reader, tokens)
            if self.ages is not None:
                now = wire.stamp()
                self.ages.extend(now - each for each in wire.stamps(stream, found, self.marked))

    def _reader(self) -> Reader:
        reader = Reader()
        self._readers.append(reader)
        return reader

    async def _bring_in(self, numbers: Iterator[int], after: str | None) -> None:
        target, loop = self._target, asyncio.get_running_loop()
        for _ in numbers:
            subscriber = Subscriber(self, *wire.upgrade(target, self._topic, after), self._reader())
            try:
                async with asyncio.timeout(_PATIENCE):
                    await loop.create_connection(
                        lambda made=subscriber: made,
                        target.address,
                        target.port,
                        ssl=self._tls,
                        server_hostname=target.server_hostname,
                    )
                    await subscriber.welcome
            except TimeoutError:
                raise BenchError(f"The hub did not welcome a subscriber within {_PATIENCE:g} s.") from None
            except OSError as error:
                raise BenchError(_explained(error)) from None


def _explained(error: OSError) -> str:
    if error.errno == errno.EMFILE:
        return "This process may not open more files; raise the limit (ulimit -n), or ask for fewer --connections."
    if error.errno == errno.EADDRNOTAVAIL:
        return "This machine has no free port for another connection to the hub; ask for fewer --connections."
    return f"A subscriber could not connect: {error.strerror or error}."


class Subscriber(asyncio.Protocol):
    """One connection. ``welcome`` is done once it is subscribed."""

    def __init__(self, group: Group, request: bytes, accept: str, reader: Reader) -> None:
        self._group = group
        self._request = request
        self._accept = accept
        self._transport: asyncio.Transport | None = None
        self._answer: _Answer | None = _Answer()
        self._rest = b""
        self._ended = asyncio.Event()
        self.reader = reader
        self.welcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Shake hands."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """The answer to the handshake, then frames."""
        try:
            if self._answer is not None:
                data = self._shaken(data)
            self._take(self._rest + data if self._rest else data)
        except BenchError as error:
            self._fail(str(error))

    def connection_lost(self, _: Exception | None) -> None:
        """It is over."""
        self._ended.set()
        self._fail("The hub, or what is in between, ended a connection without a close frame.")

    async def close(self) -> None:
        """End it politely."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(wire.CLOSE)
            self._transport.close()
        await self._ended.wait()

    def _shaken(self, data: bytes) -> bytes:
        """Read the answer to the handshake; what followed it."""
        assert self._answer is not None
        rest = self._answer.feed(data)
        if rest is None:
            return b""
        if self._answer.accept != self._accept:
            raise BenchError("What answered the handshake is not a WebSocket server.")
        self._answer = None
        return rest

    def _take(self, stream: bytes) -> None:
        found = wire.scan(stream)
        if found.end:
            if not self.welcome.done() and _WELCOME in stream[: found.end]:
                self.welcome.set_result(None)
                self._group.join(self)
            self._group.take(self, stream, found)
        self._rest = stream[found.end :]
        for ping in found.pings:
            assert self._transport is not None
            self._transport.write(wire.pong(ping))
        if found.closed is not None:
            code, reason = found.closed
            raise BenchError(f"The hub closed a connection with {code} ({reason or 'no reason'}).")

    def _fail(self, why: str) -> None:
        self._rest = b""
        if self._transport is not None:
            self._transport.abort()
        if self.welcome.done():
            self._group.drop(self, why)
        else:
            self.welcome.set_exception(BenchError(why))
            self.welcome.exception()  # Whoever waits gets it; if it timed out meanwhile, nobody does.


class _Answer:
    """The answer to the handshake: a 101, or what was wrong."""

    def __init__(self) -> None:
        self.accept = ""
        self._body = b""
        self._complete = False
        self._parser = httptools.HttpResponseParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"sec-websocket-accept":
            self.accept = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._complete = True

    def feed(self, data: bytes) -> bytes | None:
        """What follows the 101; None while it is not whole. Raises ``BenchError`` for another answer."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return data[upgrade.args[0] :]
        except httptools.HttpParserError:
            raise BenchError("What answered the handshake does not speak HTTP.") from None
        if self._complete:
            status = self._parser.get_status_code()
            raise BenchError(f"A subscriber was refused with HTTP {status}{problem(self._body)}.")
        return None


def problem(body: bytes) -> str:
    """`` (code: detail)`` of a problem object (RFC 9457), if that is one."""
    with contextlib.suppress(ValueError):
        value = json.loads(body)
        if isinstance(value, dict) and "code" in value:
            return f" ({value['code']}: {str(value.get('detail', '')).rstrip('.')})"
    return ""
