"""A process that holds subscribers: ``python -m hub.bench.worker``, started and told what to do by ``crew``.

Commands and answers are lines of JSON on stdin and stdout; between answers, ``{"received": n}`` tells how far the
subscribers are. It ends when its stdin does, so that it never outlives whoever started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import sys
import threading
import time
from typing import Any

from hub.bench import loop
from hub.bench.subscriber import Group
from hub.bench.target import BenchError, Target

_TELL = 0.002
"""Seconds between two words on how far the subscribers are."""


class Worker:
    """The commands, a method each."""

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}
        self._current: Group | None = None
        self._told = 0
        self._cpu = self._clock = 0.0

    async def run(self) -> None:
        """Obey until stdin ends."""
        commands: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        running = asyncio.get_running_loop()

        def read() -> None:
            for line in sys.stdin:
                running.call_soon_threadsafe(commands.put_nowait, json.loads(line))
            running.call_soon_threadsafe(commands.put_nowait, None)

        threading.Thread(target=read, daemon=True).start()
        telling = asyncio.create_task(self._tell())
        while (command := await commands.get()) is not None:
            try:
                answer = await getattr(self, command.pop("do"))(**command)
            except BenchError as error:
                answer = {"error": str(error)}
            _say({"answer": answer})
        telling.cancel()
        for group in self._groups.values():
            await group.close()

    async def found(self, group: str, target: dict[str, Any], topic: str) -> dict[str, Any]:
        """Make a group, still empty."""
        self._groups[group] = Group(Target(**target), topic)
        return {}

    async def open(self, group: str, count: int, at_once: int, after: str | None) -> dict[str, Any]:
        """Bring subscribers in."""
        await self._groups[group].open(count, at_once=at_once, after=after)
        return {}

    async def close(self, group: str) -> dict[str, Any]:
        """Send them away."""
        await self._groups[group].close()
        return {}

    async def begin(self, group: str, marked: str, ages: bool) -> dict[str, Any]:
        """A new phase, at this group."""
        self._current = self._groups[group]
        self._current.begin(marked.encode(), ages=ages)
        self._told = 0
        _say({"received": 0})
        self._cpu, self._clock = time.process_time(), time.monotonic()
        return {}

    async def busy(self) -> dict[str, Any]:
        """The share of a core that this process used since the phase began."""
        return {"busy": (time.process_time() - self._cpu) / max(1e-9, time.monotonic() - self._clock)}

    async def judge(self, published: dict[str, int]) -> dict[str, Any]:
        """What the phase came to."""
        assert self._current is not None
        return self._current.judge({int(lane): count for lane, count in published.items()})

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(_TELL)
            received = self._current.received if self._current is not None else 0
            if received != self._told:
                self._told = received
                _say({"received": received})


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    # What is allocated here lives as long as it is needed; a collection would be measured as latency.
    gc.disable()
    with contextlib.suppress(BrokenPipeError):
        loop.run(Worker().run())
