"""Passwords and random secrets: made, hashed and compared, without stopping the event loop.

What people choose is hashed with argon2id (RFC 9106), in a few threads of its own: one hash takes tens of milliseconds
and 64 MiB, so their number bounds the memory, and a full queue is refused rather than grown. What the hub makes up
itself (service secrets, refresh tokens) is too random to be guessed, so one SHA-256 is enough. Knows only errors.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import secrets
import unicodedata
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from hub.errors import HubError

MIN_LENGTH = 8
"""Shortest password, in characters (NIST SP 800-63B, 3.1.1.2)."""
MAX_LENGTH = 1024
"""Longest password, in characters: nobody types more, and hashing it must stay cheap."""

_T = TypeVar("_T")
_WORKERS = min(4, os.cpu_count() or 1)
_MAX_WAITING = 64
# Letters and digits that nobody confuses when reading a password aloud or from paper: 31 of them, 5 bits each, nearly.
_READABLE = "abcdefghjkmnpqrstuvwxyz23456789"


class Passwords:
    """Hashes and verifies passwords in threads. One for a process; ``close`` it."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._threads = ThreadPoolExecutor(_WORKERS, thread_name_prefix="password")
        self._waiting = 0
        self._decoy = _decoy(self._hasher)

    def close(self) -> None:
        """Give the threads back."""
        self._threads.shutdown(cancel_futures=True)

    async def hash(self, password: str) -> str:
        """The argon2id hash of a new password.

        Raises ``request_invalid`` if it is too short or too long, ``overloaded`` if too many are waiting.
        """
        if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
            raise HubError("request_invalid", f"A password has {MIN_LENGTH} to {MAX_LENGTH} characters.")
        return await self._run(lambda: self._hasher.hash(_prepare(password)))

    async def verify(self, hashed: str | None, password: str) -> bool:
        """Whether the password is the hashed one. ``None`` (there is no such user) takes as long and is False.

        Raises ``overloaded`` if too many are waiting.
        """
        if len(password) > MAX_LENGTH:
            return False
        matches = await self._run(lambda: self._matches(hashed or self._decoy, password))
        return matches and hashed is not None

    def is_outdated(self, hashed: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(hashed)

    def _matches(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, _prepare(password))
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], _T]) -> _T:
        if self._waiting >= _MAX_WAITING:
            raise HubError("overloaded", "Too many logins at once; try again in a few seconds.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def random_password() -> str:
    """A password for people to copy once: 20 readable characters in groups of five, 99 bits."""
    return "-".join("".join(secrets.choice(_READABLE) for _ in range(5)) for _ in range(4))


def random_secret(prefix: str, size: int = 32) -> str:
    """A secret of ``size`` random bytes. The prefix lets people and leak scanners see what it is."""
    return prefix + secrets.token_urlsafe(size)


def digest(secret: str) -> str:
    """The hash under which a secret made by ``random_secret`` is stored and found."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def digest_matches(hashed: str, secret: str) -> bool:
    """Whether ``digest(secret)`` is that hash, compared in constant time."""
    return hmac.compare_digest(hashed, digest(secret))


def _prepare(password: str) -> bytes:
    # The same letters may be typed as other code points on another keyboard (NIST SP 800-63B, 3.1.1.2).
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")


def _decoy(hasher: PasswordHasher) -> str:
    """A hash of no password, as costly to verify as a real one."""
    salt, tag = (b64encode(os.urandom(size)).rstrip(b"=").decode() for size in (hasher.salt_len, hasher.hash_len))
    return f"$argon2id$v=19$m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}${salt}${tag}"
