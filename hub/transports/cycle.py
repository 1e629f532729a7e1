"""What stands in for uvicorn while the hub answers before ASGI: a publish under way, and when a client is read."""

from __future__ import annotations

import asyncio
from collections.abc import Sized

from uvicorn.protocols.http.flow_control import FlowControl

from hub.model import Principal


class Flow(FlowControl):
    """Does not read on while requests wait for their turn: uvicorn would, as often as the app asks for the body of the
    one that it works on, though all of that is there by then."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        """Read on, if none waits."""
        if not self._waiting:
            super().resume_reading()


class _Nobody:
    """In the place of the event on which a request that goes to the app waits."""

    def set(self) -> None:
        pass


class PublishCycle:
    """A publish under way, in the place of uvicorn's cycle, so that requests behind it wait for it."""

    __slots__ = ("_body", "caller", "disconnected", "keep_alive", "more_body", "request", "response_complete")

    message_event = _Nobody()

    def __init__(self, *, keep_alive: bool, request: str = "") -> None:
        """``request``: the id that the request named, if it did."""
        self.request = request
        self.keep_alive = keep_alive
        self.response_complete = self.disconnected = False
        self.more_body = True
        self.caller: Principal | None = None
        self._body: bytes | bytearray = b""

    def add(self, piece: bytes) -> None:
        """A piece of the body. Most come in one, which is not copied; many are not copied anew for each."""
        if not self._body:
            self._body = piece
        else:
            if type(self._body) is bytes:
                self._body = bytearray(self._body)
            self._body += piece

    def take_body(self) -> bytes:
        """The body, of which nothing is kept here."""
        body, self._body = bytes(self._body), b""
        return body
