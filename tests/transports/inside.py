"""The hub's own HTTP protocol in this process, on a real socket: to see how far it is, and to hold it there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import uvicorn
from uvicorn.server import ServerState

from hub.app import Application
from hub.errors import HubError, NotYet
from hub.model import Grants, Principal
from hub.transports.door import Door
from hub.transports.http_protocol import HubHttpProtocol


class Inside:
    """An application and the hub's own HTTP protocol, with a door that can be kept shut."""

    def __init__(self, application: Application) -> None:
        self.hub = application.hub
        self.state = ServerState()
        self.state.connections = application.connections
        self.waiting: asyncio.Event | None = None
        """Set to keep who comes waiting for the keys of their token."""
        door = Door(application.hub, self._authenticate, self._authenticate, ())
        self.direct = replace(application.direct(), door=door, authenticate=self._authenticate)
        self.config = uvicorn.Config(application.app, ws="none", lifespan="off", log_config=None)
        self.port = 0

    def protocol(self) -> HubHttpProtocol:
        return HubHttpProtocol(config=self.config, server_state=self.state, app_state={}, direct=self.direct)

    def http(self) -> list[HubHttpProtocol]:
        return [one for one in self.state.connections if isinstance(one, HubHttpProtocol)]

    def _authenticate(self, token: str) -> Principal:
        if self.waiting is not None and not self.waiting.is_set():
            raise NotYet("issuer_unavailable", ready=self._open)
        if token == "bad":
            raise HubError("token_malformed")
        return Principal("alice", "user", "s", time.time() + 100, grants=Grants(subscribe=("*",), publish=("*",)))

    async def _open(self) -> None:
        assert self.waiting is not None
        await self.waiting.wait()


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that is to come true; fails if it does not."""
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.005)
