"""What is added in a turn of the loop runs after it, in order, and lets others in between."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from hub.tick import Tick

pytestmark = pytest.mark.anyio


class Due:
    def __init__(self, callback: Callable[[], object]) -> None:
        self.flush = callback


async def test_callbacks_run_after_the_turn_in_order() -> None:
    tick, ran = Tick(), []
    for number in range(3):
        tick.add(Due(lambda number=number: ran.append(number)))
    assert ran == []
    await asyncio.sleep(0)
    assert ran == [0, 1, 2]


async def test_one_that_fails_keeps_nobody_from_it(caplog: pytest.LogCaptureFixture) -> None:
    tick, ran = Tick(), []
    tick.add(Due(lambda: 1 / 0))
    tick.add(Due(lambda: ran.append(1)))
    with caplog.at_level(logging.ERROR):
        await asyncio.sleep(0)
    assert ran == [1]
    assert "ZeroDivisionError" in caplog.text


async def test_a_callback_may_add_another() -> None:
    tick, ran = Tick(), []

    def first() -> None:
        ran.append(1)
        tick.add(Due(lambda: ran.append(2)))

    tick.add(Due(first))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert ran == [1, 2]
    tick.add(Due(lambda: ran.append(3)))
    await asyncio.sleep(0)
    assert ran == [1, 2, 3]


async def test_many_let_others_in_between() -> None:
    tick, ran = Tick(), []
    for number in range(5000):
        tick.add(Due(lambda number=number: ran.append(number)))
    turns = 0
    while len(ran) < 5000:
        await asyncio.sleep(0)
        turns += 1
        assert len(ran) <= turns * 256
    assert turns >= 5000 // 256
    assert ran == list(range(5000))


async def test_the_few_do_not_wait_for_the_crowd() -> None:
    tick, ran = Tick(), []
    for number in range(5000):
        tick.add(Due(lambda number=number: ran.append(number)))
    await asyncio.sleep(0)
    assert len(ran) < 500
    tick.add(Due(lambda: ran.append("mine")))
    await asyncio.sleep(0)
    assert "mine" in ran
    while len(ran) <= 5000:
        await asyncio.sleep(0)
    assert [number for number in ran if number != "mine"] == list(range(5000))
