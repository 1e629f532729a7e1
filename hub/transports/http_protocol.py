"""The hub's own uvicorn HTTP protocol: bounded heads, bounded waits, and a short way for what is asked most.

uvicorn's waits without end for a request that does not go on, keeps a head of any length in memory, and holds an
answer for a client that does not read it: a few thousand such connections and nobody else gets in. Publishing is handed
to ``Direct``, who comes for the live stream to an ``Arrival``; everything else takes uvicorn's way to the app.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hub.errors import HubError, NotYet
from hub.transports import door, request_id
from hub.transports.answers import Answers, Headers
from hub.transports.arrival import Arrival, SocketArrival, StreamArrival
from hub.transports.cycle import Flow, PublishCycle
from hub.transports.direct import Direct
from hub.transports.http import PUBLISH_PATH

log = logging.getLogger("hub.http")

MAX_HEAD = 32 * 1024
"""Bytes of a request line and its headers. A token has at most 4 KiB."""
_PATIENCE = 20.0
_LAST_WORDS = 1.0
"""Seconds that a request has to become whole, and an answer to be read, once the server stops."""

_MOST_BEHIND = 500
"""Requests that may wait behind one that the app answers. Each takes some hundred times the bytes it may have had."""

_DOOR = door.PATH.encode()
_SSE = door.SSE_PATH.encode()
_PUBLISH = PUBLISH_PATH.encode()
_answers = Answers()


class _Stop(Exception):
    """Nothing more is taken: the head is over its limit, or the connection is at its end."""


class HubHttpProtocol(HttpToolsProtocol):
    """One HTTP connection, until it is closed or becomes a live stream.

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
        # Set while a request for the live stream is read and waits; nothing else is read behind it.
        self._arrival: type[Arrival] | None = None
        self._joined = False
        # What a client sent behind it without waiting for the answer.
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
        if self._joined:
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
            if self._arrival is SocketArrival:
                self._early = data[upgraded.args[0] :]
                self._join(SocketArrival)
            return
        except httptools.HttpParserError:
            if not self._joined:
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
        if self._joined:
            raise _Stop  # Behind one that is the last.
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
            self._arrival = self._arriving()
            if self._arrival is not None:
                self._due_since = self.loop.time()
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
        if self._arrival is not None:
            return
        if type(self.cycle) is not PublishCycle:
            super().on_body(body)
        elif not self.cycle.response_complete:  # Refused: nothing is kept of what a stranger sends.
            self.cycle.add(body)

    def on_message_complete(self) -> None:
        """It is there as a whole."""
        self._in_request, self._due_since = False, None
        if self._arrival is not None:
            if self._arrival is StreamArrival:
                self._join(StreamArrival)
        elif type(self.cycle) is PublishCycle:
            self.cycle.more_body = False
            if self.cycle.response_complete:
                self._idle_since = self.loop.time()
            else:
                self._publish(self.cycle)
        else:
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
        self.refuse(
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
        keep_alive = self.parser.get_http_version() == "1.1" and self.parser.should_keep_alive()
        cycle = PublishCycle(keep_alive=keep_alive, request=request_id.given(self.headers))
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
        if not cycle.request:
            self._carry_out(cycle)
            return
        # Taken back: what else this connection does is not that request's. A task begins with what is set here.
        before = request_id.current.set(cycle.request)
        try:
            self._carry_out(cycle)
        finally:
            request_id.current.reset(before)

    def _carry_out(self, cycle: PublishCycle) -> None:
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
        defaults = self.server_state.default_headers
        self._end(cycle, _answers.receipts(body, defaults, keep_alive=cycle.keep_alive, request=cycle.request))

    def _answer_failure(self, cycle: PublishCycle, error: Exception) -> None:
        if not isinstance(error, HubError):
            log.error("a publish failed", exc_info=error)
            error = HubError("internal")
            cycle.keep_alive = False
        elif error.kind.status >= 500:
            self._direct.tell(error)
        named = [(request_id.HEADER, cycle.request.encode())] if cycle.request else None
        defaults = self.server_state.default_headers
        self._end(cycle, _answers.problem(error, defaults, keep_alive=cycle.keep_alive, more=named))

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

    # --- The way into the live stream

    @property
    def _path(self) -> bytes:
        return self.url.partition(b"?")[0]

    def _arriving(self) -> type[Arrival] | None:
        """Whether the request is for the live stream, and of which kind."""
        if self._path == _SSE:
            return StreamArrival if self.parser.get_method() == b"GET" else None
        if self._path == _DOOR and self.parser.should_upgrade() and self._get_upgrade() == b"websocket":
            return SocketArrival
        return None

    def _join(self, arrival: type[Arrival]) -> None:
        self._joined = True
        arrival(self, self._direct).join()

    def hand_over(self) -> bytes:
        """The transport is another protocol's from now on; what came behind the request."""
        self._watch.cancel()
        self.connections.discard(self)
        return self._early

    def refuse(self, refusal: HubError, headers: Headers | None = None) -> None:
        """Answer with a problem (RFC 9457), and end the connection."""
        if self.transport.is_closing():
            return
        defaults = self.server_state.default_headers
        self.transport.write(_answers.problem(refusal, defaults, keep_alive=False, more=headers))
        self.transport.close()

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
