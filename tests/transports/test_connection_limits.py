"""Connections of one user and of one address are bounded, and however one ends, it makes room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.hub_process import HubProcess

from .gauges import eventually
from .raw import CLOSE, RawSocket, close_frame

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    hub = HubProcess(tmp_path_factory.mktemp("crowded"), connections_user=3, connections_address=5, login_successes=0)
    try:
        hub.start()
        for name in ("alice", "bob", "carol"):
            hub.add_user(name)
        yield hub
        assert " ERROR " not in hub.log()
    finally:
        hub.close()


@pytest.fixture
async def connections(hub: HubProcess, anyio_backend: str) -> None:
    """Those of the test before are gone."""
    RawSocket.cut_all()
    await eventually(hub.metrics, lambda seen: seen["hub_connections"] == 0)


async def enter(hub: HubProcess, token: str, address: str = "127.0.0.1") -> RawSocket:
    """A connection from an address, as a trusted proxy tells it."""
    socket = await RawSocket.connect(hub.port, token=token, headers=[("X-Forwarded-For", address)])
    await socket.until("welcome")
    return socket


async def refusal(hub: HubProcess, token: str, address: str = "127.0.0.1") -> tuple[int, str]:
    socket = await RawSocket.connect(hub.port, token=token, headers=[("X-Forwarded-For", address)])
    return await socket.end(answer=True)


@pytest.mark.usefixtures("connections")
async def test_a_user_who_has_too_many_is_told_so(hub: HubProcess) -> None:
    alice, bob = hub.token("alice"), hub.token("bob")
    for _ in range(3):
        await enter(hub, alice)
    with pytest.raises(ConnectionClosed) as closed:
        async with connect(f"{hub.ws_url}?token={alice}", proxy=None) as socket:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1013, "too_many_connections: A user may have 3.")
    await enter(hub, bob)
    admin = hub.admin_headers()["Authorization"].removeprefix("Bearer ")
    for _ in range(4):
        await enter(hub, admin)


def goodbye(socket: RawSocket) -> None:
    socket.send(CLOSE, close_frame()[6:])


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize("end", [goodbye, RawSocket.finish, RawSocket.reset, RawSocket.cut])
async def test_however_one_ends_it_makes_room(hub: HubProcess, end: Callable[[RawSocket], None]) -> None:
    alice = hub.token("alice")
    for _ in range(3):
        sockets = [await enter(hub, alice) for _ in range(3)]
        assert (await refusal(hub, alice))[0] == 1013
        for socket in sockets:
            end(socket)
        await eventually(hub.metrics, lambda seen: seen["hub_connections"] == 0)


@pytest.mark.usefixtures("connections")
async def test_an_end_that_the_hub_makes_makes_room_too(hub: HubProcess) -> None:
    sockets = [await enter(hub, hub.token("carol")) for _ in range(3)]
    await asyncio.to_thread(hub.call, "PATCH", "/v1/users/carol", json={"disabled": True})
    assert {(await socket.end(answer=True))[0] for socket in sockets} == {1008}
    await asyncio.to_thread(hub.call, "PATCH", "/v1/users/carol", json={"disabled": False})
    carol = hub.token("carol")
    for _ in range(3):
        await enter(hub, carol)


@pytest.mark.usefixtures("connections")
async def test_an_address_that_has_too_many(hub: HubProcess) -> None:
    alice, bob, carol = (hub.token(name) for name in ("alice", "bob", "carol"))
    here = ["2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:1:ffff::"]
    sockets = [await enter(hub, token, address) for token in (alice, bob) for address in here[:2]]
    await enter(hub, alice, here[2])
    assert await refusal(hub, carol, here[2]) == (1013, "too_many_connections: 2001:db8:0:1::/64 may have 5.")
    await enter(hub, carol, "2001:db8:0:2::1")
    sockets[0].reset()
    await eventually(hub.metrics, lambda seen: seen["hub_connections"] == 5)
    await enter(hub, carol, here[2])
