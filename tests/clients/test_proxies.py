"""An environment's proxy: passed by for a hub on this machine, used for any other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hub_client import AsyncClient, AsyncPublisher, PublishFailed, Unavailable

from .fake_hub import FakeHub, jwt

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("leakless")]


@pytest.fixture
async def proxied(leakless: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    """The first lines of what reaches the proxy that the environment names; it goes no further."""
    lines: list[str] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines.append(head.decode().splitlines()[0])
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy)
            monkeypatch.setenv(name.upper(), proxy)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        yield lines


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_hub_on_this_machine_is_reached_directly(hub: FakeHub, proxied: list[str], host: str) -> None:
    url = f"http://{host}:{hub.port}"
    async with AsyncClient(url, username="alice", password="secret"), AsyncPublisher(url, token="t") as publisher:
        await publisher.publish("x", all=True)
    assert proxied == []


async def test_any_other_is_reached_through_the_proxy(proxied: list[str]) -> None:
    with pytest.raises(Unavailable):
        await AsyncClient("http://hub.invalid:8000", token=jwt(), open_timeout=0.5).start()
    assert proxied[0].startswith("CONNECT hub.invalid:8000 ")
    async with AsyncPublisher("http://hub.invalid:8000", token="t", timeout=0.5) as publisher:
        with pytest.raises(PublishFailed):
            await publisher.publish("x", all=True)
    # Behind a last attempt of the other, which may be on its way still.
    assert proxied[-1].startswith("POST http://hub.invalid:8000/v1/events ")
