"""The worker processes: told the same, asked for their sum, ended with whoever started them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hub.bench import wire
from hub.bench.crew import Crew
from hub.bench.ledger import Verdict
from hub.bench.sender import Sender
from hub.bench.target import BenchError, Target

pytestmark = pytest.mark.anyio

MARK = wire.mark("0a1b2c3d", 1)
NOWHERE = Target("127.0.0.1", 1, False, "", "127.0.0.1")


def children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


async def gone(pid: int) -> None:
    async with asyncio.timeout(10):
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.01)


async def test_processes_share_the_subscribers() -> None:
    before = children()
    async with Crew(2) as crew, Sender(MARK) as sender:
        workers = children() - before
        assert len(workers) == 2
        await crew.found("all", sender.target, "bench:x:all")
        await crew.begin("all", MARK)
        await crew.open("all", 5)
        sender.flood()
        assert await crew.until(20_000, 10)
        assert crew.received >= 20_000
        assert await crew.busy() > 0
        outcome = await crew.judge({0: 0}, 0)
        assert (outcome.verdict.repeated, outcome.verdict.disordered) == (0, 0)
        await crew.begin("all", wire.mark("0a1b2c3d", 2))
        assert crew.received == 0, "a new phase counts from the beginning, and its own events only"
    assert not children() - before


async def test_what_nobody_received_is_missing() -> None:
    async with Crew(2) as crew, Sender(MARK) as sender:
        await crew.found("all", sender.target, "bench:x:all")
        await crew.begin("all", MARK)
        await crew.open("all", 3)
        assert not await crew.until(1, 0.05)
        outcome = await crew.judge({0: 10}, 40)
        assert outcome.verdict == Verdict(40, missing=40), "of the subscriber, too, that was not there at all"


async def test_an_error_of_a_worker_is_ours() -> None:
    async with Crew(2) as crew:
        await crew.found("all", NOWHERE, "bench:x:all")
        with pytest.raises(BenchError, match="could not connect"):
            await crew.open("all", 3)


async def test_a_worker_that_ends_by_itself() -> None:
    before = children()
    async with Crew(1) as crew:
        [pid] = children() - before
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(BenchError, match="ended by itself"):
            await crew.busy()


async def test_they_end_when_whoever_started_them_is_killed(tmp_path: Path) -> None:
    script = (
        "import asyncio; from hub.bench.crew import Crew\n"
        "async def main():\n"
        "    async with Crew(2) as crew:\n"
        "        print(*(worker._process.pid for worker in crew._workers), flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())"
    )
    starter = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    pids = [int(pid) for pid in (await asyncio.to_thread(starter.stdout.readline)).split()]
    starter.kill()
    starter.communicate()
    assert len(pids) == 2
    for pid in pids:
        await gone(pid)
