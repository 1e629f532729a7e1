"""The hub's own uvicorn HTTP protocol: bounded heads, bounded waits, and a short way for what is asked most.

uvicorn's waits without end for a request that does not go on, keeps a head of any length in memory, and holds an
answer for a client that does not read it: a few thousand such connections and nobody else gets in. Publishing and the
WebSocket handshake it hands to ``Direct``; everything else takes uvicorn's way to the app.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from functools import partial
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hub.errors import HubError, NotYet
from hub.model import Principal
from hub.transports import door, upgrade
from hub.transports.answers import Answers
from hub.transports.connection import Connection
from hub.transports.cycle import Flow, PublishCycle
from hub.transports.direct import Direct
from hub.transports.door import Handshake
from hub.transports.http import PUBLISH_PATH
from hub.transports.upgrade import Upgrade

log = logging.getLogger("hub.http")

MAX_HEAD = 32 * 1024
"""Bytes of a request line and its headers. A token has at most 4 KiB."""
_PATIENCE = 20.0
_LAST_WORDS = 1.0
"""Seconds that a request has to become whole, and an answer to be read, once the server stops."""

_MOST_BEHIND = 500
"""Requests that may wait behind one that the app answers. Each takes some hundred times the bytes it may have had."""

_DOOR = door.PATH.encode()
_PUBLISH = PUBLISH_PATH.encode()
_answers = Answers()


class _Stop(Exception):
    """Nothing more is taken: the head is over its limit, or the connection is at its end."""


class HubHttpProtocol(HttpToolsProtocol):
    """One HTTP connection, until it is closed or becomes a WebSocket.

    A request's head has ``Direct.head_timeout`` to arrive, and so has its body, which is small unless it publishes.
    What somebody who is known publishes, and the client's reading of the answer, have to make progress within the time
    that a silent WebSocket may take to answer a ping. How long the application takes is its own affair.
    """

    cycle: Any

    def __init__(self, *args: Any, direct: Direct, **more: Any) -> None:
        super().__init__(*args, **more)
        self._direct = direct

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch."""
        super().connection_made(transport)
        self.flow = Flow(transport, self.pipeline)
        # The one that the app works on. The newest, in `cycle`, may still wait for its turn.
        self._active: Any = None
        self._patience = self.config.ws_ping_interval or _PATIENCE
        self._head = 0
        """Bytes of the head so far."""
        self._in_head = self._in_request = False
        # Requests that began with what came in last.
        self._begun = 0
        self._too_long = False
        self._is_handshake = False
        # What a client sent behind its handshake without waiting for the answer.
        self._early = b""
        # Since when a head, or a body that is not a known publisher's, is waited for: it is due as a whole. A new
        # connection is to say something, too.
        self._due_since: float | None = self.loop.time()
        self._heard = self._unsent_since = self.loop.time()
        # Since when there is no request; None: there is, or uvicorn's own timer runs.
        self._idle_since: float | None = None
        self._unsent = 0
        self._pause = min(self._patience, self._direct.head_timeout) / 2
        """Seconds between looks."""
        self._watch = self.loop.call_later(self._pause, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Watch no more."""
        self._watch.cancel()
        self._disconnect()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server stops: what the application still has to say is waited for, the client no longer."""
        super().shutdown()
        self._watch.cancel()
        self._watch = self.loop.call_later(_LAST_WORDS, self._give_up)

    def data_received(self, data: bytes) -> None:
        """Take it if the request's head is not too long by now."""
        if self.transport.is_closing():
            return  # It was refused, and what follows is of no interest.
        if self._is_handshake and not self._in_request:
            self._early += data
            if len(self._early) > MAX_HEAD:
                self.abort()
            return
        if self.cycle is None or not self.cycle.response_complete:
            self._heard = self.loop.time()
        self._unset_keepalive_if_required()
        self._begun = int(self._in_request)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgraded:
            if self._is_handshake:
                self._early = data[upgraded.args[0] :]
                self._join()
            return
        except httptools.HttpParserError:
            self.send_400_response("")
            return
        if self._in_head and self._begun == 1:
            # The parser keeps a line until it is complete, so that only what came in can be counted: not where it holds
            # other requests, too.
            self._head += len(data)
            if self._head > MAX_HEAD and not self.transport.is_closing():
                self._too_long = True
                self.send_400_response("")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._begun += 1
        self._in_head = self._in_request = True
        self._head = 0
        self._due_since = self._heard = self.loop.time()
        self._idle_since = None

    def on_headers_complete(self) -> None:
        """Its head is there."""
        self._in_head, self._due_since = False, None
        if self.transport.is_closing():
            raise _Stop  # Behind a request that was the last one (RFC 9112, 9.6).
        if len(self.url) + sum([len(name) + len(value) for name, value in self.headers]) > MAX_HEAD:
            self._too_long = True
            raise _Stop  # The parser stops, and what is sent then is send_400_response.
        if self.cycle is None or self.cycle.response_complete:
            if self.parser.should_upgrade() and self._get_upgrade() == b"websocket" and self._path == _DOOR:
                self._is_handshake = True
                return
            if self._direct.takes(self.parser.get_method(), self.url, self.headers) and self._begin_publish():
                if self.cycle.response_complete:  # Refused.
                    self._due_since = self.loop.time()
                return
        if len(self.pipeline) == _MOST_BEHIND:
            raise _Stop
        super().on_headers_complete()
        if self._path != _PUBLISH and not self.pipeline:  # One behind another is not read until that is answered.
            self._due_since = self.loop.time()
        if self.parser.should_upgrade():
            # To what nobody here speaks, or not at this address: answered as if it had not asked (RFC 9110, 7.8). The
            # parser takes no more requests behind it.
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if type(self.cycle) is PublishCycle:
            if not self.cycle.response_complete:  # Refused: nothing is kept of what a stranger sends.
                self.cycle.add(body)
        elif not self._is_handshake:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """It is there as a whole."""
        self._in_request, self._due_since = False, None
        if type(self.cycle) is PublishCycle:
            self.cycle.more_body = False
            if self.cycle.response_complete:
                self._idle_since = self.loop.time()
            else:
                self._publish(self.cycle)
        elif not self._is_handshake:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be read with a problem (RFC 9457), and end the connection."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and not cycle.more_body:
            # It stands behind a request that was whole, whose answer is not there yet: that one is the last.
            cycle.keep_alive = False
            self._in_head = self._in_request = False
            self._due_since = None
            self.flow.pause_reading()
            return
        self._refuse(
            HubError("head_too_large", f"A request's head may have {MAX_HEAD} bytes.")
            if self._too_long
            else HubError("http_invalid")
        )

    def pause_writing(self) -> None:
        """A client that does not read its answers is not read either: it may send requests without end."""
        super().pause_writing()
        if type(self.cycle) is PublishCycle:
            self.flow.pause_reading()

    def resume_writing(self) -> None:
        """The client has read much of what waited. Looking at what waits would not tell: the application adds to it."""
        super().resume_writing()
        self._unsent_since = self.loop.time()
        if type(self.cycle) is PublishCycle:  # Nothing but the writing keeps it from being read.
            self.flow.resume_reading()

    # --- Publishing

    def _begin_publish(self) -> bool:
        """Whether it can be answered here: not if it has to be waited for who calls."""
        cycle = PublishCycle(keep_alive=self.parser.get_http_version() == "1.1" and self.parser.should_keep_alive())
        try:
            cycle.caller = self._direct.caller(self.headers)
        except NotYet:
            return False
        except HubError as refusal:
            self.cycle = cycle
            self._answer_failure(cycle, refusal)  # Before the body, which may be long.
        else:
            self.cycle = cycle
        return True

    def _publish(self, cycle: PublishCycle) -> None:
        try:
            assert cycle.caller is not None, "a caller who is not refused is known"
            answer = self._direct.publishing(cycle.caller, cycle.take_body())
        except Exception as error:
            self._answer_failure(cycle, error)
            return
        if isinstance(answer, bytes):
            self._answer(cycle, answer)
        else:
            task = self.loop.create_task(self._answer_later(cycle, answer))
            task.add_done_callback(self.tasks.discard)
            self.tasks.add(task)

    async def _answer_later(self, cycle: PublishCycle, answer: Awaitable[bytes]) -> None:
        try:
            body = await answer
        except Exception as error:
            self._answer_failure(cycle, error)
        else:
            self._answer(cycle, body)

    def _answer(self, cycle: PublishCycle, body: bytes) -> None:
        self._end(cycle, _answers.receipts(body, self.server_state.default_headers, keep_alive=cycle.keep_alive))

    def _answer_failure(self, cycle: PublishCycle, error: Exception) -> None:
        if not isinstance(error, HubError):
            log.error("a publish failed", exc_info=error)
            error = HubError("internal")
            cycle.keep_alive = False
        elif error.kind.status >= 500:
            self._direct.tell(error)
        self._end(cycle, _answers.problem(error, self.server_state.default_headers, keep_alive=cycle.keep_alive))

    def _end(self, cycle: PublishCycle, answer: bytes) -> None:
        cycle.response_complete = True
        if self.transport.is_closing():
            return
        self.transport.write(answer)
        if cycle.keep_alive:
            self.on_response_complete()
        else:
            self.server_state.total_requests += 1
            self.transport.close()

    def on_response_complete(self) -> None:
        """uvicorn's, but for the timer of a connection that is kept: whoever watches it anyway sees that it is idle."""
        if self.pipeline or type(self.cycle) is not PublishCycle:
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        self._idle_since = None if self._in_request else self.loop.time()
        if not self.flow.write_paused:
            self.flow.resume_reading()

    def _refuse(self, refusal: HubError) -> None:
        if self.transport.is_closing():
            return
        self.transport.write(_answers.problem(refusal, self.server_state.default_headers, keep_alive=False))
        self.transport.close()

    # --- The way into the live stream

    @property
    def _path(self) -> bytes:
        return self.url.partition(b"?")[0]

    def _join(self) -> None:
        """Wait for its turn. Who may not is refused before the upgrade: it costs less than telling it to browsers."""
        direct = self._direct
        address = direct.proxies.client(self.client[0] if self.client else None, self.headers)
        try:
            direct.lobby.admit(address)
        except HubError as refusal:
            direct.around.hub.counters.refused += 1
            self._refuse(refusal)
        else:
            handshake = Handshake(self.url.partition(b"?")[2], self.headers, address)
            direct.lobby.wait(partial(self._open, handshake))

    def _open(self, handshake: Handshake) -> None:
        """From here on it is a WebSocket, or nothing."""
        direct = self._direct
        if self.transport.is_closing():
            return  # It did not wait for its turn.
        try:
            if self.parser.get_method() != b"GET" or self.parser.get_http_version() != "1.1":
                raise HubError("http_invalid", "A WebSocket begins with a GET of HTTP/1.1 (RFC 6455, 4.1).")
            accepted = upgrade.accept(handshake, compression=direct.compression)
        except HubError as refusal:
            self._refuse(refusal)
            return
        try:
            caller = direct.door.identify(handshake)
        except NotYet as wait:
            task = self.loop.create_task(self._enter_later(handshake, accepted, wait))
            task.add_done_callback(self.tasks.discard)
            self.tasks.add(task)
        else:
            self._enter(handshake, accepted, caller)

    async def _enter_later(self, handshake: Handshake, accepted: Upgrade, wait: NotYet) -> None:
        caller = await self._direct.door.wait_and_identify(handshake, wait)
        if not self.transport.is_closing():
            self._enter(handshake, accepted, caller)

    def _enter(self, handshake: Handshake, accepted: Upgrade, caller: Principal | HubError) -> None:
        self._watch.cancel()
        self.connections.discard(self)
        self.transport.write(accepted.head)
        connection = Connection(self.transport, self._direct.around, deflate=accepted.deflate)
        self.transport.set_protocol(connection)
        session = self._direct.door.enter(handshake, caller, connection)
        if session is not None:
            connection.begin(session, self._early)
        if self.flow.write_paused:
            # It was told of answers that its client did not read; the transport does not say so again.
            connection.pause_writing()

    # --- The end

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._active = cycle
        super()._start_asgi_task(cycle, app)

    def abort(self) -> None:
        """Cut the connection, and let whoever works for it know."""
        self._disconnect()
        self.transport.abort()

    def _disconnect(self) -> None:
        """Tell the app's request, at once: uvicorn tells the newest one, and a turn of the loop later."""
        self.pipeline.clear()
        if self._active is not None and not self._active.response_complete:
            self._active.disconnected = True
            self._active.message_event.set()

    # --- The watch

    def _give_up(self) -> None:
        if self._in_request or self.transport.get_write_buffer_size():
            self.abort()

    def _look(self) -> None:
        """Give up a connection that waits for a client who does nothing."""
        now = self.loop.time()
        size = self.transport.get_write_buffer_size()
        if size == 0 or size < self._unsent:
            self._unsent_since = now
        self._unsent = size
        if self.flow.read_paused:  # What it cannot say, nobody waits for.
            self._heard = now
            if self._due_since is not None:
                self._due_since = now
        late = self._due_since is not None and now - self._due_since > self._direct.head_timeout
        body_late = self._in_request and now - self._heard > self._patience
        answer_late = size > 0 and now - self._unsent_since > self._patience
        if late or body_late or answer_late:
            self.abort()
        elif self._idle_since is not None and now - self._idle_since > self.timeout_keep_alive:
            self.transport.close()
        else:
            self._watch = self.loop.call_later(self._pause, self._look)
