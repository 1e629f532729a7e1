"""The lobby: in turn, a bounded number, and each address at its rate."""

from __future__ import annotations

import asyncio

import pytest

from hub.errors import HubError
from hub.limits import Rate
from hub.transports.lobby import Lobby

pytestmark = pytest.mark.anyio


def lobby(most: int = 0, rate: Rate = Rate(0, 1)) -> Lobby:  # noqa: B008 - it does not change.
    return Lobby(most, rate, lambda address: address == "127.0.0.1")


async def test_those_who_wait_are_served_in_turn_also_after_one_that_fails() -> None:
    served: list[int] = []
    waiting = lobby()
    done = asyncio.Event()
    for number in range(3):
        waiting.wait(lambda number=number: served.append(number))  # type: ignore[misc]
    waiting.wait(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    waiting.wait(done.set)
    await asyncio.wait_for(done.wait(), 5)
    assert served == [0, 1, 2]
    assert len(waiting) == 0


async def test_no_more_wait_than_may() -> None:
    waiting = lobby(most=3)
    done = asyncio.Event()
    for _ in range(3):
        waiting.admit("192.0.2.1")
        waiting.wait(done.set)
    with pytest.raises(HubError) as refused:
        waiting.admit("192.0.2.2")
    assert (refused.value.code, refused.value.kind.status) == ("overloaded", 503)
    await asyncio.wait_for(done.wait(), 5)
    await asyncio.sleep(0)
    waiting.admit("192.0.2.2")


async def test_the_rate_is_of_an_address_and_not_of_a_proxy() -> None:
    waiting = lobby(rate=Rate(2, 20))
    for _ in range(2):
        waiting.admit("192.0.2.1")
    with pytest.raises(HubError) as refused:
        waiting.admit("192.0.2.1")
    assert (refused.value.code, refused.value.extra) == ("rate_limited", {"retry_after": 10})
    for _ in range(10):
        waiting.admit("127.0.0.1")
    waiting.admit("192.0.2.2")
