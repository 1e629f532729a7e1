"""An identity on a data directory of its own, with cheap passwords and a clock that tests move."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Set
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from hub.errors import HubError
from hub.identity.passwords import Passwords
from hub.identity.service import Identity
from hub.model import Principal
from hub.settings import Settings

PASSWORD = "correct horse"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)

OpenIdentity = Callable[..., AbstractAsyncContextManager[Identity]]


class Clock:
    """The time, and what a test adds to it."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Connections:
    """What a hub does with its connections when it is told of a change: it asks of those concerned."""

    def __init__(self) -> None:
        self.review: Callable[[Principal], Principal] | None = None
        self.held: list[Principal] = []
        self.told: list[set[str] | None] = []
        self.ended: list[tuple[str, str]] = []
        """Code and session of each that ended."""

    def __call__(self, subjects: Set[str] | None) -> None:
        assert self.review is not None
        self.told.append(None if subjects is None else set(subjects))
        held, self.held = self.held, []
        for principal in held:
            try:
                concerned = subjects is None or principal.subject in subjects
                self.held.append(self.review(principal) if concerned else principal)
            except HubError as refusal:
                self.ended.append((refusal.code, principal.session))

    @property
    def codes(self) -> list[str]:
        return [code for code, _ in self.ended]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def connections() -> Connections:
    return Connections()


@pytest.fixture
def open_identity(tmp_path: Path, clock: Clock, connections: Connections, database: dict[str, Any]) -> OpenIdentity:
    """Opens identities on one database: one after the other, or several as if they were processes."""

    @asynccontextmanager
    async def opened(*, quiet: bool = False, **settings: Any) -> AsyncIterator[Identity]:
        # A poll that never comes of itself, unless the test is about it.
        values = {"data_dir": tmp_path, "revocation_poll": 10} | database | settings
        identity = Identity(
            Settings(**values), on_change=None if quiet else connections, clock=clock, passwords=Passwords(CHEAP)
        )
        if not quiet:
            connections.review = identity.review
        async with identity:
            yield identity

    return opened


@pytest.fixture
async def identity(open_identity: OpenIdentity) -> AsyncIterator[Identity]:
    """With one user, alice."""
    async with open_identity() as identity:
        await identity.accounts.create_user("alice", PASSWORD)
        yield identity
