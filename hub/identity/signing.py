"""Which keys a hub signs with and accepts: taken from the settings, or made in the data directory and rotated there.

In the data directory the private key that signs is one file, and the database remembers the public half of each that
ever signed. Rotating replaces the file, so the old private key is gone; what it signed is accepted until the last token
has ended. The file decides what signs: whoever replaces it by hand, or loses it, has rotated, and nobody is logged out.

Promises: works while a hub runs, which learns of it within ``revocation_poll`` seconds; a crash half-way leaves the old
key or the new one signing, and both accepted. Who rotates is in the audit log. Knows keys, keyring, models, store,
audit, the data directory and settings.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from time import time
from typing import Literal

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from hub.data_directory import SIGNING_KEY
from hub.database.store import Store
from hub.errors import HubError
from hub.identity import keys
from hub.identity.audit import HUB, Actor, Record, append
from hub.identity.keyring import Accepted, Keyring
from hub.identity.models import Change, PublicKey
from hub.settings import Settings, SettingsError

_LEARNING = 60.0
"""Seconds for which a hub may go on signing with a key that was rotated: it learns of it within ten, and then says
itself until when its tokens live."""
_REMEMBERED = 90 * 86400.0
"""Seconds for which a key that is out of use is known by its id, so that a client who comes back with an old token is
told that it expired and not that it is forged."""
_FEED_SECONDS = 3600.0

State = Literal["signs", "accepted", "out of use", "retired"]


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key, for people. Times are Unix seconds, None where they are not known; ``origin`` is where it comes from."""

    id: str
    algorithm: str
    state: State
    origin: str
    created_at: float | None = None
    accepted_until: float | None = None
    retired_at: float | None = None


class SigningKeys:
    """The signing keys of one data directory and its settings."""

    def __init__(self, settings: Settings, store: Store, *, clock: Callable[[], float] = time) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._path = settings.data_dir / SIGNING_KEY
        self._signed_with: str | None = None

    @property
    def origin(self) -> str | None:
        """The setting that gives the key; None if the hub makes and rotates its own."""
        if self._settings.signing_secret is not None:
            return "HUB_SIGNING_SECRET"
        return "HUB_SIGNING_KEY_FILE" if self._settings.signing_key_file is not None else None

    async def load(self) -> Keyring:
        """The keys as they are now; one is made if there is none. For the start and after each change.

        Raises ``SettingsError`` and ``database_unavailable``.
        """
        given = await asyncio.to_thread(_previous, self._settings)
        signing = await asyncio.to_thread(_given, self._settings)
        if signing is not None:
            return Keyring(signing, given)
        if self._settings.database_url is not None:
            raise SettingsError(
                "With HUB_DATABASE_URL the key that signs tokens has to be given, the same to every hub: name its file "
                "in HUB_SIGNING_KEY_FILE (`openssl genpkey -algorithm ed25519 -out signing.key` makes one)."
            )
        async with self._store.write() as db:
            signing = await self._adopt(db)
            rows = (await db.scalars(select(PublicKey).where(PublicKey.id != signing.id))).all()
        self._signed_with = signing.id
        return Keyring(
            signing,
            given + tuple(_accepted(row) for row in rows if row.retired_at is None),
            frozenset(row.id for row in rows if row.retired_at is not None),
        )

    async def rotate(self, algorithm: str | None = None, *, actor: Actor = HUB) -> KeyInfo:
        """Sign with a new key from now on, of the same algorithm unless another is given; returns it.

        What the old one signed is accepted until it ends.

        Raises ``request_invalid`` if the key is one of the settings, ``SettingsError`` if it cannot be written.
        """
        self._refuse_given()
        async with self._store.write() as db:
            signing = await self._adopt(db)
            await self._log(db, Record(actor, "keys.rotate", f"key:{signing.id}"))
            return await self._replace(db, algorithm or signing.algorithm)

    async def retire(self, key_id: str, *, actor: Actor = HUB) -> KeyInfo:
        """Trust a key no longer: all tokens that it signed are refused (``token_revoked``), its connections closed.

        If it is the one that signs, another one does from now on. Returns the one that signs. Raises ``not_found``,
        ``request_invalid`` if the key is one of the settings, ``SettingsError``.
        """
        self._refuse_given()
        async with self._store.write() as db:
            signing = await self._adopt(db)
            row = await db.get(PublicKey, key_id)
            if row is None:
                raise HubError("not_found", f"There is no signing key {key_id[:60]!r}; `hub keys list` shows them.")
            if row.retired_at is None:
                row.retired_at = self._clock()
                self._tell(db, row.id)
                await self._log(db, Record(actor, "keys.retire", f"key:{row.id}"))
            if row.id == signing.id:
                return await self._replace(db, signing.algorithm)
            return _info(await db.get_one(PublicKey, signing.id), self._clock())

    async def all(self) -> list[KeyInfo]:
        """Every key, the one that signs first. Raises ``SettingsError``."""
        ring = await self.load()
        told: list[KeyInfo] = []
        if self.origin is not None:
            told.append(KeyInfo(ring.signing.id, ring.signing.algorithm, "signs", self.origin))
        else:
            async with self._store.read() as db:
                rows = (await db.scalars(select(PublicKey).order_by(PublicKey.created_at.desc()))).all()
            now = self._clock()
            told += sorted((_info(row, now) for row in rows), key=lambda info: info.state != "signs")
        for each in ring.previous:
            if each.until is None:
                origin = "HUB_SIGNING_SECRET_PREVIOUS" if each.key.public is None else "HUB_SIGNING_KEY_PREVIOUS"
                told.append(KeyInfo(each.key.id, each.key.algorithm, "accepted", origin))
        return told

    def _refuse_given(self) -> None:
        match self.origin:
            case "HUB_SIGNING_SECRET":
                how = "put the present one into HUB_SIGNING_SECRET_PREVIOUS and a new one (`openssl rand -hex 32`) into"
            case "HUB_SIGNING_KEY_FILE":
                how = "name the present file in HUB_SIGNING_KEY_PREVIOUS and a new one in"
            case _:
                return
        raise HubError(
            "request_invalid",
            f"The hub signs with {self.origin}, which is not the hub's to change: {how} {self.origin}, and restart the "
            "hub. A key that is not to be trusted any longer is named in neither.",
        )

    async def _adopt(self, db: AsyncSession) -> keys.SigningKey:
        """The key in the file, made if need be, with the database true to it."""
        signing = await asyncio.to_thread(self._read)
        now = self._clock()
        row = await db.get(PublicKey, signing.id)
        if row is None:
            row = self._enter(db, signing)
        elif row.retired_at is not None:
            raise SettingsError(
                f"The signing key {self._path} was retired, so it is not to be trusted: remove it, and the hub makes "
                "another one."
            )
        row.accepted_until = None
        row.token_life = max(row.token_life, self._settings.access_ttl)
        for other in await db.scalars(select(PublicKey).where(PublicKey.id != signing.id)):
            if other.accepted_until is None:
                other.accepted_until = now + other.token_life + _LEARNING
            if other.id == self._signed_with:
                # Until this moment.
                other.accepted_until = max(other.accepted_until, now + self._settings.access_ttl + 1)
        # One that was retired is remembered for ever: its file may come back with a backup.
        gone = PublicKey.accepted_until < now - _REMEMBERED
        await db.execute(delete(PublicKey).where(gone, PublicKey.retired_at.is_(None)))
        return signing

    async def _replace(self, db: AsyncSession, algorithm: str) -> KeyInfo:
        key, pem = await asyncio.to_thread(keys.generate, algorithm)
        now = self._clock()
        for row in await db.scalars(select(PublicKey).where(PublicKey.accepted_until.is_(None))):
            row.accepted_until = now + row.token_life + _LEARNING
        row = self._enter(db, key)
        self._tell(db, key.id)
        await db.flush()
        # Last: if the transaction fails to commit after this, the file decides (see _adopt).
        await asyncio.to_thread(self._write, pem)
        return _info(row, now)

    def _enter(self, db: AsyncSession, key: keys.SigningKey) -> PublicKey:
        assert key.public is not None
        row = PublicKey(
            id=key.id,
            algorithm=key.algorithm,
            jwk=key.public,
            created_at=self._clock(),
            token_life=self._settings.access_ttl,
            accepted_until=None,
            retired_at=None,
        )
        db.add(row)
        return row

    async def _log(self, db: AsyncSession, record: Record) -> None:
        await append(db, record, now=self._clock())

    def _tell(self, db: AsyncSession, key_id: str) -> None:
        db.add(Change(kind="keys", name=key_id, expires_at=self._clock() + _FEED_SECONDS))

    def _read(self) -> keys.SigningKey:
        if not self._path.exists():
            keys.make_once(self._path)
        return keys.read_private(self._path)

    def _write(self, pem: bytes) -> None:
        with keys.drafted(self._path, pem) as draft:
            old = self._path.stat()
            if os.geteuid() == 0:
                # The hub may run as another user, who has to read it.
                os.chown(draft, old.st_uid, old.st_gid)
            draft.replace(self._path)


def _given(settings: Settings) -> keys.SigningKey | None:
    if settings.signing_secret is not None:
        return keys.from_secret(settings.signing_secret.get_secret_value().encode())
    return keys.read_private(settings.signing_key_file) if settings.signing_key_file is not None else None


def _previous(settings: Settings) -> tuple[Accepted, ...]:
    """The keys that the settings want to be accepted besides."""
    previous = [Accepted(keys.read_verifying(path)) for path in settings.signing_key_previous]
    if settings.signing_secret_previous is not None:
        previous.append(Accepted(keys.from_secret(settings.signing_secret_previous.get_secret_value().encode())))
    return tuple(previous)


def _accepted(row: PublicKey) -> Accepted:
    return Accepted(keys.from_jwk(row.jwk, row.algorithm), row.accepted_until)


def _info(row: PublicKey, now: float) -> KeyInfo:
    state: State = "signs"
    if row.retired_at is not None:
        state = "retired"
    elif row.accepted_until is not None:
        state = "accepted" if row.accepted_until > now else "out of use"
    return KeyInfo(row.id, row.algorithm, state, SIGNING_KEY, row.created_at, row.accepted_until, row.retired_at)
