"""The embedded engine when its disk fails, hangs, or falls behind."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from hub.engine import sqlite, sqlite_log
from hub.engine.sqlite import SqliteEngine
from hub.errors import HubError
from hub.model import Entry, Topic
from tests.fakes import Clock

from .recorder import Recorder, bodies, draft
from .test_conformance import until

pytestmark = pytest.mark.anyio

NEWS = Topic("news")


class BadDisk:
    """A connection that fails at the statements it is told to, before or after they took effect."""

    def __init__(self, connection: sqlite3.Connection, failing: set[str]) -> None:
        self._connection = connection
        self._failing = failing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, *parameters: Any) -> Any:
        word = statement.split()[0]
        if f"after {word}" in self._failing:
            self._connection.execute(statement, *parameters)
        if {word, f"after {word}"} & self._failing:
            raise sqlite3.OperationalError("disk I/O error")
        return self._connection.execute(statement, *parameters)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The statements that fail; may be changed at any time."""
    statements: set[str] = set()
    real = sqlite_log.open_writer

    def open_writer(path: Path) -> Any:
        if "open" in statements:
            raise sqlite3.OperationalError("unable to open database file")
        connection, extent = real(path)
        return BadDisk(connection, statements), extent

    monkeypatch.setattr(sqlite_log, "open_writer", open_writer)
    return statements


@pytest.fixture
async def opened(failing: set[str], tmp_path: Path, clock: Clock) -> AsyncIterator[tuple[SqliteEngine, Recorder]]:
    engine = SqliteEngine(
        tmp_path / "log.db", retention_age=1000, retention_bytes=100_000, dedupe_window=1000, clock=clock
    )
    recorder = Recorder()
    await engine.start(recorder)
    try:
        yield engine, recorder
    finally:
        failing.clear()
        await engine.stop()


async def refused(call: Any) -> HubError:
    with pytest.raises(HubError) as error:
        async with asyncio.timeout(10):
            await call
    return error.value


@pytest.mark.parametrize("statements", [{"COMMIT"}, {"COMMIT", "ROLLBACK"}, {"INSERT", "UPDATE"}, {"BEGIN"}])
async def test_a_failing_disk_is_told_and_healed_from(
    opened: tuple[SqliteEngine, Recorder], failing: set[str], statements: set[str]
) -> None:
    engine, sink = opened
    await engine.append([draft("before")])
    failing |= statements
    for _ in range(3):
        assert (await refused(engine.append([draft("lost", id="x")]))).code == "log_unavailable"
        assert (await refused(engine.probe())).code == "log_unavailable"
    failing.clear()
    [receipt] = await engine.append([draft("after")])
    await engine.probe()
    assert bodies(sink.entries) == ["before", "after"]
    page = await engine.read([NEWS], 0, 10)
    assert bodies(page.entries) == ["before", "after"]
    assert page.entries[-1].seq == receipt.seq == engine.head


async def test_a_file_that_cannot_be_opened_again_is_tried_again(
    opened: tuple[SqliteEngine, Recorder], failing: set[str]
) -> None:
    engine, _ = opened
    failing |= {"COMMIT", "ROLLBACK", "open"}
    for _ in range(3):
        assert (await refused(engine.append([draft("lost")]))).code == "log_unavailable"
    failing.clear()
    await engine.append([draft("after")])


async def test_a_commit_that_failed_and_is_on_disk_all_the_same_is_delivered_and_known(
    opened: tuple[SqliteEngine, Recorder], failing: set[str]
) -> None:
    engine, sink = opened
    failing |= {"after COMMIT"}
    assert (await refused(engine.append([draft("paid", id="order-7")]))).code == "log_unavailable"
    failing.clear()
    [receipt] = await engine.append([draft("paid", id="order-7")])
    assert receipt.duplicate
    assert bodies(sink.entries) == ["paid"]
    await engine.append([draft("next")])
    assert bodies(sink.entries) == ["paid", "next"]


async def test_a_failing_sink_hangs_no_publisher_and_makes_the_probe_fail(
    opened: tuple[SqliteEngine, Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, sink = opened

    def fail(entries: Sequence[Entry]) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(sink, "deliver", fail)
        await engine.append([draft("a")])
        assert (await refused(engine.probe())).code == "log_unavailable"
    await engine.append([draft("b")])
    await engine.probe()


async def test_a_hanging_disk_is_told_after_a_while(
    opened: tuple[SqliteEngine, Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, _ = opened
    monkeypatch.setattr(sqlite, "_PATIENCE", 0.5)
    monkeypatch.setattr(engine._writer, "put", lambda work: None)
    error = await refused(engine.append([draft("a")]))
    assert error.code == "log_unavailable"
    assert "same id" in error.detail


async def test_more_than_the_disk_takes_is_refused(
    opened: tuple[SqliteEngine, Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, _ = opened
    monkeypatch.setattr(sqlite, "_MAX_WAITING", 1000)
    with monkeypatch.context() as patch:
        patch.setattr(engine._writer, "put", lambda work: None)
        waiting = asyncio.create_task(engine.append([draft("x" * 900)]))
        await asyncio.sleep(0)
        assert (await refused(engine.append([draft("y" * 200)]))).code == "overloaded"
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    await engine.append([draft("z" * 200)])


async def test_retention_keeps_up_with_what_is_written(opened: tuple[SqliteEngine, Recorder]) -> None:
    engine, _ = opened
    for number in range(20):
        await engine.append([draft(f"{number}-{n}" + "x" * 100) for n in range(1000)])
    assert engine.size < 100_000 + 2 * 1000 * 110
    async with asyncio.timeout(3):
        await until(lambda: engine.size <= 100_000)


async def test_much_that_is_past_goes_at_once(opened: tuple[SqliteEngine, Recorder], clock: Clock) -> None:
    engine, _ = opened
    for number in range(4):
        await engine.append([draft(f"{number}-{n}", id=f"{number}-{n}", time=clock.now) for n in range(1000)])
    clock.now += 2000
    async with asyncio.timeout(3):
        await until(lambda: engine.floor == 4000)
    await engine.append([draft("0-0", id="0-0", time=clock.now)])
    assert bodies((await engine.read([NEWS], 0, 10)).entries) == ["0-0"]


# --- The index of topics, which follows the log at a distance


async def numbers(engine: SqliteEngine, topics: list[Topic], after: int | None, limit: int = 1000) -> list[int]:
    return [entry.seq for entry in (await engine.read(topics, after, limit)).entries]


@pytest.mark.parametrize("lull", [0.0, 3600.0], ids=["indexed", "not indexed"])
async def test_a_page_is_the_same_whether_its_entries_are_indexed_or_not(
    opened: tuple[SqliteEngine, Recorder], monkeypatch: pytest.MonkeyPatch, lull: float
) -> None:
    engine, _ = opened
    monkeypatch.setattr("hub.engine.sqlite_writer._LULL", lull or 0.001)
    for start in range(0, 30, 3):
        await engine.append([draft(str(n), *(["a", "b"] if n % 2 else ["b"])) for n in range(start, start + 3)])
    if not lull:
        await until(lambda: engine._writer.extent.indexed == 30)
    else:
        assert engine._writer.extent.indexed < 30
    odd = list(range(2, 31, 2))
    assert await numbers(engine, [Topic("a")], 0) == odd
    assert await numbers(engine, [Topic("b")], 0) == list(range(1, 31))
    assert await numbers(engine, [Topic("a"), Topic("b")], 12, 5) == [13, 14, 15, 16, 17]
    assert await numbers(engine, [Topic("a")], None, 3) == odd[-3:]
    assert await numbers(engine, [Topic("nothing")], 0) == []


async def test_a_log_that_ended_before_it_was_indexed_is_indexed_by_the_next(tmp_path: Path, clock: Clock) -> None:
    for round_number in range(1, 3):
        engine = SqliteEngine(
            tmp_path / "log.db", retention_age=1000, retention_bytes=100_000, dedupe_window=1000, clock=clock
        )
        await engine.start(Recorder())
        await engine.append([draft(str(n)) for n in range(5)])
        assert await numbers(engine, [NEWS], 0) == list(range(1, 5 * round_number + 1))
        if round_number == 2:
            await until(lambda engine=engine: engine._writer.extent.indexed == 10)
            assert await numbers(engine, [NEWS], 0) == list(range(1, 11))
        await engine.stop()


async def test_an_index_that_cannot_be_written_fails_nobody(
    opened: tuple[SqliteEngine, Recorder],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine, _ = opened

    def broken(*_: object) -> int:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(sqlite_log, "index", broken)
        await engine.append([draft("1")])
        await until(lambda: "cannot be indexed" in caplog.text)
        await engine.append([draft("2")])
        assert await numbers(engine, [NEWS], 0) == [1, 2]
        assert caplog.text.count("cannot be indexed") == 1
    clock.now += 61
    await engine.append([draft("3")])
    await until(lambda: engine._writer.extent.indexed == 3)
    assert await numbers(engine, [NEWS], 0) == [1, 2, 3]
