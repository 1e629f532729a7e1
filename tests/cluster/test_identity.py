"""Users and sessions are the same on every node, and what ends on one ends on all of them, within a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from tests.postgres import PostgresServer

from .cluster import Cluster
from .test_nodes import frame, listen

pytestmark = pytest.mark.anyio

_BOUND = 3.0
"""Seconds; a calm machine needs less than one."""


async def closed(socket: ClientConnection) -> tuple[int | None, str | None, float]:
    """Its close code and reason, and how long that took."""
    started = time.monotonic()
    async with asyncio.timeout(15):
        await socket.wait_closed()
    return socket.close_code, socket.close_reason, time.monotonic() - started


async def test_an_end_on_one_node_is_one_on_all(
    start_cluster: Callable[..., Cluster], postgres: PostgresServer
) -> None:
    cluster = start_cluster(nodes=2, database_url=postgres.database())
    one, two = cluster.hubs
    token = one.add_user("alice")
    assert two.login("alice", "password of alice")["access_token"], "an account of one is one of the other"

    async def ended_by(end: Callable[[], Any], token: str, code: str) -> None:
        async with listen(two, token, "") as socket:
            await frame(socket, "welcome")
            await asyncio.to_thread(end)
            close, reason, took = await closed(socket)
            assert (close, (reason or "").partition(":")[0]) == (1008, code)
            assert took < _BOUND

    bearer = {"Authorization": f"Bearer {token}"}
    await ended_by(lambda: one.http.post("/v1/auth/logout", headers=bearer).raise_for_status(), token, "logged_out")
    again = two.token("alice")
    await ended_by(lambda: one.call("POST", "/v1/tokens/revoke", json={"token": again}), again, "token_revoked")
    third = two.token("alice")
    await ended_by(lambda: one.call("PATCH", "/v1/users/alice", json={"disabled": True}), third, "user_disabled")
