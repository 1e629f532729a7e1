"""A request for the live stream on the hub's own server: from its head until it has taken the connection over.

It waits for its turn in the ``Lobby`` and is identified at the ``Door``, whatever it asked for. A WebSocket is accepted
before it is refused, since browsers see no more of a refused handshake than that there was one; a stream is refused
with an HTTP status, which makes a browser's ``EventSource`` stop for good.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from hub.errors import HubError, NotYet
from hub.model import Principal
from hub.transports import sse_connection, upgrade
from hub.transports.answers import Headers
from hub.transports.connection import Connection
from hub.transports.direct import Direct
from hub.transports.door import Handshake


class Host(Protocol):
    """The HTTP connection on which it came, as an arrival sees it."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    tasks: set[asyncio.Task[None]]
    client: tuple[str, int] | None
    url: bytes
    headers: Headers
    parser: Any
    server_state: Any
    flow: Any

    def refuse(self, refusal: HubError, headers: Headers | None = None) -> None:
        """Answer with a problem, and end the connection."""

    def hand_over(self) -> bytes:
        """Let go of the transport; what the client sent behind its request."""


class Arrival:
    """One request. Once it is done with, nobody holds it."""

    def __init__(self, host: Host, direct: Direct) -> None:
        self._host = host
        self._direct = direct
        peer = host.client[0] if host.client else None
        address = direct.proxies.client(peer, host.headers)
        self._handshake = Handshake(host.url.partition(b"?")[2], host.headers, address)

    def join(self) -> None:
        """Wait for its turn. Who may not is refused at once: it costs less than telling it to browsers."""
        try:
            self._direct.lobby.admit(self._handshake.address)
        except HubError as refusal:
            self._direct.around.hub.counters.refused += 1
            self._host.refuse(refusal, self._direct.door.headers(self._handshake))
        else:
            self._direct.lobby.wait(self._open)

    def _open(self) -> None:
        host = self._host
        if host.transport.is_closing():
            return  # It did not wait for its turn.
        try:
            self._check()
        except HubError as refusal:
            host.refuse(refusal)
            return
        try:
            caller = self._direct.door.identify(self._handshake)
        except NotYet as wait:
            task = host.loop.create_task(self._enter_later(wait))
            task.add_done_callback(host.tasks.discard)
            host.tasks.add(task)
        else:
            self._enter(caller)

    async def _enter_later(self, wait: NotYet) -> None:
        caller = await self._direct.door.wait_and_identify(self._handshake, wait)
        if not self._host.transport.is_closing():
            self._enter(caller)

    def _check(self) -> None:
        """Raise what is wrong with the request itself."""

    def _enter(self, caller: Principal | HubError) -> None:
        raise NotImplementedError


class SocketArrival(Arrival):
    """A handshake: from its answer on the connection is a WebSocket, or nothing."""

    _accepted: upgrade.Upgrade

    def _check(self) -> None:
        parser = self._host.parser
        if parser.get_method() != b"GET" or parser.get_http_version() != "1.1":
            raise HubError("http_invalid", "A WebSocket begins with a GET of HTTP/1.1 (RFC 6455, 4.1).")
        self._accepted = upgrade.accept(self._handshake, compression=self._direct.compression)

    def _enter(self, caller: Principal | HubError) -> None:
        host, direct = self._host, self._direct
        early = host.hand_over()
        host.transport.write(self._accepted.head)
        connection = Connection(host.transport, direct.around, deflate=self._accepted.deflate)
        host.transport.set_protocol(connection)
        session = direct.door.enter(self._handshake, caller, connection)
        if session is not None:
            connection.begin(session, early)
        if host.flow.write_paused:
            # It was told of answers that its client did not read; the transport does not say so again.
            connection.pause_writing()


class StreamArrival(Arrival):
    """A request for server-sent events."""

    def _enter(self, caller: Principal | HubError) -> None:
        host, direct = self._host, self._direct
        more = direct.door.headers(self._handshake)
        head = sse_connection.head([*host.server_state.default_headers, *more]) + sse_connection.first_words()
        stream = sse_connection.EventStream(host.transport, direct.around, head)
        try:
            session = direct.door.let_in(self._handshake, caller, stream)
        except HubError as refusal:
            host.refuse(refusal, more)
            return
        host.hand_over()
        stream.begin(session, direct.dead_after)
        if host.flow.write_paused:  # As above, or it was what it was sent just now.
            stream.pause_writing()
