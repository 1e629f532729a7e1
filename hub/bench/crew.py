"""The worker processes, as the one that starts them sees them: told the same, asked for their sum, ended with it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import sys
from collections.abc import Mapping
from typing import Any, Self

from hub.bench.durations import Durations
from hub.bench.ledger import Verdict
from hub.bench.target import BenchError, Target

_AT_ONCE = 128
"""Handshakes under way at a time, all processes together: below the usual backlog of a listening socket."""
_PATIENCE = 5.0
"""Seconds that a worker has to end."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What all subscribers saw of one phase."""

    verdict: Verdict
    ages: Durations
    lost: int
    lost_because: str


class Crew:
    """``async with Crew(n)`` starts n processes; they are ended at its end, whatever happens."""

    def __init__(self, processes: int) -> None:
        self._count = processes
        self._workers: list[_Worker] = []
        self._moved = asyncio.Event()

    async def __aenter__(self) -> Self:
        try:
            for _ in range(self._count):
                self._workers.append(await _Worker.start(self._moved))
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def _end(self) -> None:
        # At once, for each says goodbye to its subscribers first.
        await asyncio.gather(*(worker.end() for worker in self._workers))

    @property
    def received(self) -> int:
        """Deliveries of this phase so far, a few milliseconds old."""
        return sum(worker.received for worker in self._workers)

    async def until(self, received: int, seconds: float) -> bool:
        """Wait for that many deliveries; False if that takes longer than ``seconds``, or a worker ended."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.received < received:
                    self._moved.clear()
                    await self._moved.wait()
                return True
        return False

    async def found(self, group: str, target: Target, topic: str) -> None:
        """Make a group of subscribers, still empty."""
        await self._all("found", group=group, target=dataclasses.asdict(target), topic=topic)

    async def open(self, group: str, count: int, after: str | None = None) -> None:
        """Bring subscribers in, spread over the processes; raises ``BenchError``."""
        share, more = divmod(count, self._count)
        at_once = max(1, _AT_ONCE // self._count)
        counts = [share + (number < more) for number in range(self._count)]
        await asyncio.gather(
            *(
                worker.ask("open", group=group, count=each, at_once=at_once, after=after)
                for worker, each in zip(self._workers, counts, strict=True)
                if each
            )
        )

    async def close(self, group: str) -> None:
        """Send a group away."""
        await self._all("close", group=group)

    async def begin(self, group: str, marked: bytes, *, ages: bool = False) -> None:
        """A new phase, whose events have this mark."""
        await self._all("begin", group=group, marked=marked.decode(), ages=ages)

    async def busy(self) -> float:
        """The share of a core that the busiest process used since the phase began."""
        return max(float(answer["busy"]) for answer in await self._all("busy"))

    async def judge(self, published: Mapping[int, int], expected: int) -> Outcome:
        """Compare what was published, by lane, with what arrived; ``expected``: deliveries to all subscribers."""
        answers = await self._all("judge", published=dict(published))
        verdict = sum((Verdict(*answer["verdict"]) for answer in answers), Verdict())
        if verdict.expected < expected:
            # A subscriber ended before the phase began.
            verdict += Verdict(expected - verdict.expected, missing=expected - verdict.expected)
        ages = Durations()
        for answer in answers:
            ages.merge(Durations(dict(answer["ages"])))
        orders = {answer["order"] for answer in answers if answer["verdict"][0]}
        if verdict.good and len(orders) > 1:
            # Each process saw one order, but not the same.
            verdict = dataclasses.replace(verdict, disordered=len(orders) - 1)
        because = next((answer["lost_because"] for answer in answers if answer["lost"]), "")
        return Outcome(verdict, ages, sum(answer["lost"] for answer in answers), because)

    async def _all(self, do: str, **arguments: Any) -> list[dict[str, Any]]:
        return await asyncio.gather(*(worker.ask(do, **arguments) for worker in self._workers))


class _Worker:
    def __init__(self, process: asyncio.subprocess.Process, moved: asyncio.Event) -> None:
        self.received = 0
        self._process = process
        self._moved = moved
        self._answer: asyncio.Future[dict[str, Any]] | None = None
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, moved: asyncio.Event) -> Self:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "hub.bench.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=16 << 20,
            # A terminal's Ctrl-C is for the process that the person started; this one ends with its stdin.
            start_new_session=True,
        )  # fmt: skip
        return cls(process, moved)

    async def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Tell it to do something, and wait until it has; raises ``BenchError`` where it could not."""
        assert self._process.stdin is not None
        self._answer = asyncio.get_running_loop().create_future()
        with contextlib.suppress(ConnectionError):  # Then reading ends, too, and says so.
            self._process.stdin.write(json.dumps({"do": do} | arguments).encode() + b"\n")
            await self._process.stdin.drain()
        if self._reading.done():
            raise BenchError("A process of the bench ended by itself.")
        answer = await self._answer
        if "error" in answer:
            raise BenchError(answer["error"])
        return answer

    async def end(self) -> None:
        """Close its stdin, and kill it if that does not end it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _PATIENCE)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            word = json.loads(line)
            if "received" in word:
                self.received = word["received"]
                self._moved.set()
            elif self._answer is not None and not self._answer.done():
                self._answer.set_result(word["answer"])
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(BenchError("A process of the bench ended by itself."))
