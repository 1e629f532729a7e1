"""Trying again: exponential waits with full jitter, up to one deadline. The clock and the draw can be replaced."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from hub_client._errors import Refused, Unavailable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Retry:
    """How to try again. All times are seconds.

    ``timeout`` bounds everything together; before attempt n+1 there is a wait, uniform between 0 and
    min(``cap``, ``base``·2^n), and never shorter than what the hub asked for.
    """

    timeout: float
    attempt_timeout: float = 10
    base: float = 0.2
    cap: float = 10
    draw: Callable[[float, float], float] = random.uniform
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def run(self, attempt: Callable[[], Awaitable[T]], may_repeat: bool = True) -> T:
        """What ``attempt`` returns; raises the last ``Unavailable`` once time is up, and anything else at once.

        ``may_repeat=False``: try again only after failures that surely had no effect.
        """
        deadline = self.clock() + self.timeout
        for number in itertools.count():
            try:
                return await self.once(attempt, deadline - self.clock())
            except Unavailable as unavailable:
                error = unavailable
            if error.maybe_done and not may_repeat:
                raise error
            pause = max(self.draw(0, min(self.cap, self.base * 2 ** min(number, 16))), error.retry_after)
            if self.clock() + pause >= deadline:
                raise error
            await self.sleep(pause)
        raise AssertionError("unreachable")

    async def once(self, attempt: Callable[[], Awaitable[T]], left: float | None = None) -> T:
        """One attempt, within its own time and what is ``left`` of the whole; ``Unavailable`` when that is up."""
        try:
            async with asyncio.timeout(min(self.attempt_timeout, self.timeout if left is None else left)):
                return await attempt()
        except TimeoutError:
            raise Unavailable("the hub did not answer in time") from None


class Doubt:
    """Whether one of the attempts may have had an effect, without anybody having said so."""

    def __init__(self) -> None:
        self.exists = False

    @contextmanager
    def about(self) -> Iterator[None]:
        """Around one attempt that sends something."""
        before, self.exists = self.exists, True
        try:
            yield
        except Refused:
            self.exists = before
            raise
        except Unavailable as error:
            self.exists = before or error.maybe_done
            raise
        self.exists = False
