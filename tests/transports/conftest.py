"""Fixtures for the tests of the transports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hub.app import Application
from hub.settings import Settings
from tests.hub_process import HubProcess

from .http_client import Client
from .inside import Inside
from .raw import RawSocket


@pytest.fixture(autouse=True)
async def no_socket_is_left(anyio_backend: str) -> AsyncIterator[None]:
    """Lets go of the raw sockets of a test, also of one that failed."""
    yield
    RawSocket.cut_all()
    while Client.open:
        Client.open.pop().cut()


@contextmanager
def well_behaved(path: Path, **settings: Any) -> Iterator[HubProcess]:
    """A hub with alice, who may do anything with orders. However it was treated: it ends well, its log without a
    traceback or an error."""
    hub = HubProcess(path, **settings)
    try:
        hub.start().add_user("alice", subscribe=["orders:*"], publish=["orders:*"])
        yield hub
        assert hub.stop() == 0
        assert "Traceback" not in hub.log()
        assert " ERROR " not in hub.log()
    finally:
        hub.close()


@pytest.fixture(scope="module")
def alice(hub: HubProcess) -> str:
    """Her token at the module's hub."""
    return hub.token("alice")


@pytest.fixture
async def client(hub: HubProcess) -> Client:
    """An HTTP connection to the module's hub."""
    return await Client.connect(hub)


@pytest.fixture
async def inside(tmp_path: Path) -> AsyncIterator[Inside]:
    application = Application(Settings(data_dir=tmp_path, outbox_bytes=65536, recent_bytes=65536))
    async with application.running():
        made = Inside(application)
        server = await asyncio.get_running_loop().create_server(made.protocol, "127.0.0.1", 0)
        made.port = server.sockets[0].getsockname()[1]
        yield made
        server.close()
        for one in list(made.state.connections):
            one.abort()
        async with asyncio.timeout(5):
            while made.state.connections or made.state.tasks:
                await asyncio.sleep(0.01)
