"""Every engine that there is, each behind the same fixture."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from hub.engine.base import Engine
from hub.engine.sqlite import SqliteEngine
from hub.model import Draft, Entry, PresenceChange, Topic
from tests.fakes import Clock

Open = Callable[..., AbstractAsyncContextManager[tuple[Engine, "Recorder"]]]


class Recorder:
    """A sink that writes down what it is handed."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.signals: list[Draft] = []
        self.presence: list[PresenceChange] = []

    def deliver(self, entries: Sequence[Entry]) -> None:
        self.entries.extend(entries)

    def signal(self, draft: Draft) -> None:
        self.signals.append(draft)

    def presence_changed(self, change: PresenceChange) -> None:
        self.presence.append(change)


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000_000)


@pytest.fixture(params=["sqlite"])
def open_engine(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Open:
    """Opens the engine on the same storage each time it is called, so that restarts can be tested."""

    @asynccontextmanager
    async def opened(
        *, retention_age: float = 1e6, retention_bytes: int = 1 << 30, dedupe_window: float = 1000
    ) -> AsyncIterator[tuple[Engine, Recorder]]:
        engine = SqliteEngine(
            tmp_path / "log.db",
            retention_age=retention_age,
            retention_bytes=retention_bytes,
            dedupe_window=dedupe_window,
            clock=clock,
        )
        recorder = Recorder()
        await engine.start(recorder)
        try:
            yield engine, recorder
        finally:
            await engine.stop()

    return opened


def draft(
    body: str,
    *topics: str,
    id: str | None = None,
    fingerprint: bytes = b"",
    time: float = 1_000_000.0,
    expires_at: float | None = None,
    exclude: tuple[str, ...] = (),
) -> Draft:
    """A draft whose body is easy to recognise."""
    return Draft(
        id=id or body,
        topics=tuple(Topic(name) for name in topics or ("news",)),
        body=body.encode(),
        time=time,
        dedupe=f"user:alice {id}" if id else None,
        fingerprint=fingerprint,
        exclude=exclude,
        expires_at=expires_at,
    )


def bodies(entries: Sequence[Entry]) -> list[str]:
    return [entry.body.decode() for entry in entries]
