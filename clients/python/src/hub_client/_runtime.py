"""Runs the core: does what it says, with sockets, clocks and chance, and puts in what happens.

One task (``run``) walks through the states. It reads the socket and never waits for the application's code; while too
much waits to be handed over, it does not read either, so that TCP holds the hub back and memory stays bounded. With
one exception: while a request is under way it reads on (up to eight times as much), because the answer stands behind
the events, and whoever waits for it may be the very callback that the events wait for.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from hub_client import _core
from hub_client._auth import Token
from hub_client._calls import Calls
from hub_client._core import Core, State
from hub_client._errors import Rejected, Unavailable
from hub_client._frames import Frame, decode, encode
from hub_client._handover import Handover, Mark
from hub_client._models import Event, Presence, Reset
from hub_client._notices import Notices
from hub_client._signal import Signal
from hub_client._socket import LOST, Ending, NotOpened, ending_of, hang_up, open_socket

log = logging.getLogger("hub_client")

_WELCOME_TIMEOUT = 10
_OVERDRAFT = 8
_RENEW_PAUSE = 0.1
# Seconds until the next try, after a renewal in-band that failed.
_RENEW_AGAIN = (1.0, 5.0)


class Runtime:
    """One client at work. Belongs to one event loop."""

    def __init__(
        self,
        core: Core,
        calls: Calls,
        handover: Handover,
        notices: Notices,
        changed: Signal,
        *,
        limit: int,
        tls: ssl.SSLContext | None,
        draw: Callable[[float, float], float] = random.uniform,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.error: Exception | None = None
        """Why it stopped by itself."""
        self.cause = "not tried yet"
        """Why there is no connection, in words."""
        self.topics: tuple[str, ...] = ()
        """All topics of the connection, as the hub last told them."""
        self._core = core
        self._calls = calls
        self._handover = handover
        self._notices = notices
        self._changed = changed
        self._limit = limit
        self._tls = tls
        self._draw = draw
        self._clock = clock
        self._todo: _core.NeedToken | _core.Open | _core.Wait | None = None
        self._token = Token("")
        self._retry_after = 0.0
        self._told_state = core.state
        self._told_cursor = core.cursor
        self._requests: dict[int, asyncio.Future[_core.Settle]] = {}
        self._wanting = 0
        self._was_open = False
        self._outgoing: deque[str] = deque()

    # --- For the client

    async def run(self) -> None:
        """Go through the states until the end."""
        try:
            self._do(self._core.start())
            while self._core.state is not State.STOPPED:
                await self._step()
        except Exception as error:
            # A bug, of ours or of what we stand on: whoever listens must not wait for ever.
            log.exception("The client failed")
            self.error = error
            self.stop()
            self._handover.finish(error)

    def stop(self) -> None:
        """Let the core stop. The task that runs is to be cancelled then."""
        self._do(self._core.stop())

    async def until_first_open(self) -> None:
        """Wait until there has been a connection; it may be over already. Raises why the client stopped before."""
        await self._changed.until(lambda: self._was_open or self._core.state is State.STOPPED)
        if not self._was_open:
            self.require_running()

    async def until_open(self) -> None:
        """Wait for a connection; raises why the client stopped, if it does."""
        await self._changed.until(lambda: self._core.state in (State.OPEN, State.STOPPED))
        self.require_running()

    def require_running(self) -> None:
        """Raise why the client stopped, if it did."""
        if self._core.state is State.STOPPED:
            raise self.error or Rejected("client_closed", "the client was closed")

    async def request(self, ask: Callable[[], list[_core.Output]]) -> _core.Settle:
        """Put in a request and wait until it is settled."""
        future: asyncio.Future[_core.Settle] = asyncio.get_running_loop().create_future()
        # Noted until it is settled, even if whoever waits is cancelled: the answer is not one of the core's own.
        self._requests[self._core.next_ref] = future
        self._do(ask())
        return await future

    @contextmanager
    def wanting(self) -> Iterator[None]:
        """While inside, the socket is read even if a lot waits already."""
        self._wanting += 1
        self._changed.notify()
        try:
            yield
        finally:
            self._wanting -= 1

    # --- The states

    async def _step(self) -> None:
        todo, self._todo = self._todo, None
        match todo:
            case _core.NeedToken(fresh):
                await self._authorize(self._token.value if fresh else None)
            case _core.Open():
                code, reason = await self._connect(todo)
                self.cause = reason or f"close code {code}"
                self._do(self._core.closed(code, reason))
            case _core.Wait(least, most):
                seconds = max(self._draw(least, most), self._retry_after)
                self._retry_after = 0
                log.warning("No connection to %s (%s); trying again in %.1f s", self._base, self.cause, seconds)
                await asyncio.sleep(seconds)
                # No use in a connection that would not be read.
                await self._changed.until(self._may_read)
                self._do(self._core.timer())
            case None:
                raise AssertionError(f"nothing to do in state {self._core.state}")

    async def _authorize(self, stale: str | None) -> None:
        try:
            self._token = await self._calls.tokens.get(stale)
        except Unavailable as error:
            self.cause = str(error)
            self._retry_after = error.retry_after
            self._do(self._core.token_failed(retry=True))
        except Rejected as error:
            self.cause = error.detail
            # If no source of tokens said so, the core knows better what led to this.
            code = None if error.code == "token_unavailable" else error.code
            self._do(self._core.token_failed(retry=False, code=code))
        else:
            self._do(self._core.token(self._token.value))

    async def _connect(self, wanted: _core.Open) -> Ending:
        try:
            socket = await open_socket(self._calls.address, wanted, self._token.value, self._tls)
        except NotOpened as error:
            return error.ending
        try:
            async with asyncio.TaskGroup() as group:
                helpers = [group.create_task(self._write(socket)), group.create_task(self._renew())]
                ending = await self._read(socket)
                for helper in helpers:
                    helper.cancel()
            return ending
        finally:
            self._outgoing.clear()
            await hang_up(socket)

    async def _read(self, socket: ClientConnection) -> Ending:
        try:
            async with asyncio.timeout(_WELCOME_TIMEOUT) as welcome:
                while self._core.state is State.CONNECTING:
                    frame = await self._receive(socket)
                self._take_topics(frame)
                welcome.reschedule(None)
                while True:
                    await self._changed.until(self._may_read)
                    await self._receive(socket)
        except TimeoutError:
            return LOST, "no welcome"
        except ConnectionClosed as closed:
            return ending_of(closed)

    async def _receive(self, socket: ClientConnection) -> Any:
        text = await socket.recv()
        value = decode(text)
        self._do(self._core.frame(value), len(text))
        return value

    async def _write(self, socket: ClientConnection) -> None:
        """Send what is to be sent; apart from reading, or a hub that waits for us to read would make us wait for it."""
        try:
            while True:
                await self._changed.until(lambda: self._outgoing)
                await socket.send(self._outgoing.popleft())
        except ConnectionClosed:
            pass  # The reader will tell.

    async def _renew(self) -> None:
        """Send a fresh token in time, again and again."""
        await self._changed.until(lambda: self._core.state is State.OPEN)
        while self._token.renew_at is not None:
            # Never in a hot loop, even if each "fresh" token is about to end.
            await asyncio.sleep(max(_RENEW_PAUSE, self._token.renew_at - self._clock()))
            self._do(self._core.expiring())
            try:
                self._token = await self._calls.tokens.get(stale=self._token.value)
            except Unavailable as error:
                log.warning("The token cannot be renewed now (%s)", error)
                self._do(self._core.token_failed(retry=True))
                await asyncio.sleep(self._draw(*_RENEW_AGAIN))
            except Rejected as error:
                log.warning("The token cannot be renewed (%s)", error)
                self._do(self._core.token_failed(retry=False))
                return
            else:
                self._do(self._core.token(self._token.value))

    def _may_read(self) -> bool:
        waiting = self._handover.size + self._notices.size
        return waiting < (self._limit * _OVERDRAFT if self._wanting else self._limit)

    # --- What the core says

    def _do(self, outputs: list[_core.Output], size: int = 0) -> None:
        for output in outputs:
            match output:
                case _core.NeedToken() if self._core.state is State.OPEN:
                    pass  # ``_renew`` put in ``expiring``, and is at it.
                case _core.NeedToken() | _core.Open() | _core.Wait():
                    self._todo = output
                case _core.Send(frame):
                    self._outgoing.append(encode(frame))
                case _core.Deliver(frame):
                    self._handover.put(Event.from_frame(frame), size)
                    self._told_cursor = self._core.cursor
                case _core.Notify(kind, fields):
                    self._notify(kind, fields, size)
                case _core.Settle():
                    self._settle(output)
                case _core.Close():
                    pass  # Who stops the core cancels ``run``, which hangs up.
                case _core.Stop(code):
                    words = self.cause.removeprefix(code).lstrip(": ")
                    self.error = Rejected(code, words or "the hub ended the connection")
                    log.error("The client has stopped: %s", self.error)
                    self._handover.finish(self.error)
        if self._core.cursor != self._told_cursor and self._core.cursor is not None:
            self._told_cursor = self._core.cursor
            self._handover.put(Mark(self._core.cursor))
        if self._core.state is not self._told_state:
            self._told_state = self._core.state
            self._notices.state(self._told_state)
        self._changed.notify()

    def _notify(self, kind: str, fields: Frame, size: int) -> None:
        match kind:
            case "open":
                self._was_open = True
                log.info("Connected to %s", self._base)
            case "reset":
                assert self._core.cursor is not None
                self._handover.put(Reset(fields["reason"], self._core.cursor))
            case "presence":
                self._notices.presence(Presence.from_frame(fields), size)
            case "error":
                log.warning("The hub could not read a frame of ours: %s: %s", fields["code"], fields["detail"])
            case "invalid":
                log.warning("The hub sent something that is no frame; it was ignored")

    def _settle(self, settled: _core.Settle) -> None:
        if settled.ok and settled.frame is not None:
            self._take_topics(settled.frame)
        future = self._requests.pop(settled.ref, None)
        if future is not None:
            if not future.done():
                future.set_result(settled)
        elif settled.frame is not None and not settled.ok:
            # One of the core's own: a fresh token, or topics that were asked for while connecting.
            log.warning("The hub refused: %s: %s", settled.frame["code"], settled.frame.get("detail"))

    def _take_topics(self, frame: Frame) -> None:
        # For information only, so no frame is refused for what is, or is not, in it.
        topics = frame.get("topics")
        if isinstance(topics, list):
            self.topics = tuple(topic for topic in topics if isinstance(topic, str))

    @property
    def _base(self) -> str:
        return self._calls.address.base
