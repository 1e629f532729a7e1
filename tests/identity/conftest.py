"""An identity on a data directory of its own, with cheap passwords and a clock that tests move."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from hub.identity.passwords import Passwords
from hub.identity.service import Identity
from hub.settings import Settings

PASSWORD = "correct horse"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)

Revoked = tuple[str, str | None, str | None]
OpenIdentity = Callable[..., AbstractAsyncContextManager[Identity]]


class Clock:
    """The time, and what a test adds to it."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Revocations:
    """Writes down what a hub would close sockets for."""

    def __init__(self) -> None:
        self.seen: list[Revoked] = []

    def __call__(self, code: str, *, session: str | None, subject: str | None) -> None:
        self.seen.append((code, session, subject))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def revoked() -> Revocations:
    return Revocations()


@pytest.fixture
def open_identity(tmp_path: Path, clock: Clock, revoked: Revocations) -> OpenIdentity:
    """Opens identities on one data directory: one after the other, or several as if they were processes."""

    @asynccontextmanager
    async def opened(*, quiet: bool = False, **settings: Any) -> AsyncIterator[Identity]:
        # A poll that never comes of itself, unless the test is about it.
        values = {"data_dir": tmp_path, "revocation_poll": 10} | settings
        identity = Identity(
            Settings(**values), on_revoked=None if quiet else revoked, clock=clock, passwords=Passwords(CHEAP)
        )
        async with identity:
            yield identity

    return opened


@pytest.fixture
async def identity(open_identity: OpenIdentity) -> AsyncIterator[Identity]:
    """With one user, alice."""
    async with open_identity() as identity:
        await identity.accounts.create_user("alice", PASSWORD)
        yield identity
