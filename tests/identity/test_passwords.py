"""Passwords: right ones match, wrong and unknown ones cost as much, the loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import threading

import pytest
from argon2 import PasswordHasher
from argon2.low_level import Type

from hub.errors import HubError
from hub.identity import passwords as module
from hub.identity.passwords import Passwords, digest, digest_matches, random_password, random_secret

from .conftest import CHEAP

pytestmark = pytest.mark.anyio


async def test_a_password_matches_its_hash_and_no_other() -> None:
    passwords = Passwords(CHEAP)
    hashed = await passwords.hash("correct horse")
    assert hashed.startswith("$argon2id$")
    assert await passwords.verify(hashed, "correct horse")
    assert not await passwords.verify(hashed, "correct horsf")
    assert not await passwords.verify("not a hash", "correct horse")
    passwords.close()


async def test_letters_typed_on_another_keyboard_are_the_same() -> None:
    passwords = Passwords(CHEAP)
    hashed = await passwords.hash("stra\u00dfe n\u00e4he")
    assert await passwords.verify(hashed, "stra\u00dfe na\u0308he")
    passwords.close()


async def test_a_lone_surrogate_is_only_a_wrong_password() -> None:
    passwords = Passwords(CHEAP)
    assert not await passwords.verify(await passwords.hash("correct horse"), "\ud800 horses")
    passwords.close()


@pytest.mark.parametrize("password", ["short12", "x" * 1025])
async def test_too_short_and_too_long_ones_are_refused(password: str) -> None:
    passwords = Passwords(CHEAP)
    with pytest.raises(HubError, match="8 to 1024 characters"):
        await passwords.hash(password)
    passwords.close()


async def test_an_unknown_user_costs_a_real_verification_with_todays_parameters() -> None:
    verified: list[str] = []

    class Spy(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
            verified.append(str(hash))
            return super().verify(hash, password)

    passwords = Passwords(Spy(time_cost=2, memory_cost=16, parallelism=1))
    assert not await passwords.verify(None, "correct horse")
    [decoy] = verified
    assert not passwords.is_outdated(decoy), "the decoy has the parameters of a real hash"
    assert CHEAP.check_needs_rehash(decoy)
    passwords.close()


async def test_a_hash_with_other_parameters_is_outdated() -> None:
    passwords = Passwords()
    assert passwords.is_outdated(CHEAP.hash("correct horse"))
    assert not passwords.is_outdated(await passwords.hash("correct horse"))
    passwords.close()


def test_the_defaults_are_argon2id_as_rfc_9106_recommends() -> None:
    hasher = PasswordHasher()
    assert (hasher.type, hasher.memory_cost, hasher.time_cost) == (Type.ID, 64 * 1024, 3)


async def test_the_loop_runs_while_hashing_and_a_full_queue_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_WAITING", 2)
    release = threading.Event()

    class Slow(PasswordHasher):
        def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
            release.wait()
            return "hashed"

    passwords = Passwords(Slow())
    waiting = [asyncio.create_task(passwords.hash("correct horse")) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(HubError) as refused:
        await passwords.hash("correct horse")
    assert refused.value.code == "overloaded"
    release.set()
    assert await asyncio.gather(*waiting) == ["hashed", "hashed"]
    assert await passwords.hash("correct horse") == "hashed", "there is room again"
    passwords.close()


def test_random_secrets() -> None:
    assert len({random_password() for _ in range(100)}) == 100
    assert len(random_password()) == 23
    secret = random_secret("hubk_")
    assert secret.startswith("hubk_")
    assert len(secret) == 5 + 43
    assert digest_matches(digest(secret), secret)
    assert not digest_matches(digest(secret), secret + "x")
    assert secret not in digest(secret)
