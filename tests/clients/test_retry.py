"""Trying again, on a clock that the test turns."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hub_client import Refused, Unavailable
from hub_client._retry import Doubt, Retry

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("leakless")]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def retry(self, timeout: float = 30, **options: Any) -> Retry:
        options = {"draw": lambda least, most: most} | options
        return Retry(timeout, clock=lambda: self.now, sleep=self.sleep, **options)


class Attempts:
    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.count = 0

    async def __call__(self) -> Any:
        self.count += 1
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


async def test_waits_double_up_to_the_cap() -> None:
    clock, attempt = Clock(), Attempts(*[Unavailable("x")] * 8, "done")
    assert await clock.retry(timeout=1000, cap=10).run(attempt) == "done"
    assert clock.slept == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]


async def test_waits_are_drawn_over_the_whole_range() -> None:
    ranges: list[tuple[float, float]] = []

    def draw(least: float, most: float) -> float:
        ranges.append((least, most))
        return least

    clock, attempt = Clock(), Attempts(Unavailable("x"), Unavailable("x"), "done")
    await clock.retry(draw=draw).run(attempt)
    assert ranges == [(0, 0.2), (0, 0.4)]


async def test_no_attempt_begins_after_the_deadline() -> None:
    clock, attempt = Clock(), Attempts(Unavailable("the last word"))
    with pytest.raises(Unavailable, match="the last word"):
        await clock.retry(timeout=3).run(attempt)
    assert clock.now <= 3
    assert attempt.count == 4


async def test_what_the_hub_asks_for_is_waited_for() -> None:
    clock, attempt = Clock(), Attempts(Unavailable("x", retry_after=7), "done")
    await clock.retry().run(attempt)
    assert clock.slept == [7]


async def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    clock, attempt = Clock(), Attempts(Unavailable("x", retry_after=60))
    with pytest.raises(Unavailable):
        await clock.retry(timeout=30).run(attempt)
    assert clock.slept == []


async def test_a_verdict_is_final() -> None:
    clock, attempt = Clock(), Attempts(Refused("forbidden", "No.", 403))
    with pytest.raises(Refused):
        await clock.retry().run(attempt)
    assert attempt.count == 1


async def test_what_may_not_be_repeated_is_repeated_only_if_it_surely_was_not_done() -> None:
    clock, attempt = Clock(), Attempts(Unavailable("x", maybe_done=False), Unavailable("y"))
    with pytest.raises(Unavailable, match="y"):
        await clock.retry().run(attempt, may_repeat=False)
    assert attempt.count == 2


async def test_an_attempt_that_hangs_is_cut_off() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Unavailable, match="in time") as caught:
        await Retry(0.05, attempt_timeout=0.01).run(hang)
    assert caught.value.maybe_done


async def test_cancelling_is_not_retried() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(Retry(30).run(hang))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("outcomes", "exists"),
    [
        ([], False),
        ([Unavailable("x")], True),
        ([Unavailable("x", maybe_done=False)], False),
        ([Refused("c", "d")], False),
        ([Unavailable("x"), Refused("c", "d")], True),
        ([Unavailable("x"), Unavailable("x", maybe_done=False)], True),
        ([asyncio.CancelledError()], True),
        ([Unavailable("x"), None], False),
    ],
)
async def test_doubt(outcomes: list[BaseException | None], exists: bool) -> None:
    doubt = Doubt()
    for outcome in outcomes:
        try:
            with doubt.about():
                if outcome is not None:
                    raise outcome
        except BaseException:
            pass
    assert doubt.exists is exists
