"""Publishers: lanes that POST, one request after the other, each on a connection of its own that is kept."""

from __future__ import annotations

import asyncio
import ssl

import httptools

from hub.bench.subscriber import problem
from hub.bench.target import BenchError, Target

_PATIENCE = 15.0
"""Seconds that the hub has for an answer."""


class Lane(asyncio.Protocol):
    """One connection for one request at a time. Not ``httpx``: that takes longer for a request than the hub does."""

    def __init__(self, target: Target, tls: ssl.SSLContext | None) -> None:
        self._target = target
        self._tls = tls
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._body = b""
        self._answer: asyncio.Future[bytes] | None = None

    async def post(self, request: bytes) -> bytes:
        """Send a request and return the body of its 2xx; raises ``BenchError`` for anything else."""
        try:
            async with asyncio.timeout(_PATIENCE):
                if self._transport is None:
                    await self._connect()
                assert self._transport is not None
                self._answer = asyncio.get_running_loop().create_future()
                self._body = b""
                self._parser = httptools.HttpResponseParser(self)
                self._transport.write(request)
                return await self._answer
        except TimeoutError:
            raise BenchError(f"The hub did not answer a publisher within {_PATIENCE:g} s.") from None
        except OSError as error:
            raise BenchError(f"A publisher could not connect: {error.strerror or error}.") from None

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    async def _connect(self) -> None:
        target = self._target
        self._transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: self, target.address, target.port, ssl=self._tls, server_hostname=target.server_hostname
        )

    # --- What asyncio and httptools call

    def data_received(self, data: bytes) -> None:
        """Part of an answer."""
        if self._parser is None:
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail("What answered a publisher does not speak HTTP.")

    def on_body(self, body: bytes) -> None:
        """Part of an answer's body."""
        self._body += body

    def on_message_complete(self) -> None:
        """The answer is whole."""
        assert self._parser is not None
        status = self._parser.get_status_code()
        if not self._parser.should_keep_alive():
            # Proxies end a connection after some number of requests; the next one has a new connection.
            self.close()
        if 200 <= status < 300:
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(self._body)
        else:
            self._fail(f"A publication was refused with HTTP {status}{problem(self._body)}.")

    def connection_lost(self, _: Exception | None) -> None:
        """Between two requests that is in order."""
        self._transport = None
        self._fail("The hub, or what is in between, ended a publisher's connection without an answer.")

    def _fail(self, why: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(BenchError(why))
