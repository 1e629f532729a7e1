"""Administering the API keys of services: made, listed, replaced with an overlap, revoked.

Promises: a key never does more than its service may, also if that may less later; what is revoked is refused within
``revocation_poll`` seconds by every process, at once by the one that does it, and its connections are closed. Each
change is in the audit log, in the same transaction. Services are named by their local ids, within one tenant. Knows
store, models, accounts, rights, api_keys, scope, audit, tenancy and errors.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from dataclasses import replace
from time import time
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from hub import tenancy
from hub.database.store import Store
from hub.errors import HubError
from hub.identity import api_keys
from hub.identity.accounts import change_of, find, in_full
from hub.identity.audit import HUB, Actor, Record, append
from hub.identity.models import Account, ServiceKey
from hub.identity.passwords import digest_matches
from hub.identity.rights import grants_of, refuse_too_many
from hub.identity.scope import Scope
from hub.model import Grants
from hub.policy import check_pattern, expand

MAX_KEYS = 50
"""Keys of one service."""
MAX_NAME = 100
"""Characters of a key's name."""
_EXPIRED_KEPT = 30 * 86400.0
"""Seconds for which a key that expired is listed, and refused as such."""


class ServiceKeys:
    """The keys of one tenant's services. ``changed`` is awaited after a change is committed that others must learn."""

    def __init__(
        self, store: Store, *, clock: Callable[[], float] = time, changed: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self._on_changed = changed
        self._actor = HUB
        self._tenant = tenancy.DEFAULT

    def within(self, tenant: str) -> ServiceKeys:
        """Those of another tenant."""
        theirs = copy(self)
        theirs._tenant = tenant
        return theirs

    def by(self, actor: Actor) -> ServiceKeys:
        """The same, done by somebody: the audit log names them."""
        theirs = copy(self)
        theirs._actor = actor
        return theirs

    async def create(
        self, service_id: str, *, name: str = "", scope: Scope | None = None, expires_at: float | None = None
    ) -> tuple[ServiceKey, str]:
        """Make a key, and return it with its text, which is not to be had again.

        ``expires_at`` is in Unix seconds. Raises ``not_found``, ``topic_invalid``, and ``request_invalid`` if the scope
        goes beyond what the service may.
        """
        service = in_full("service", service_id, self._tenant)
        scope = _expanded(scope or Scope(), service_id)
        async with self._store.write() as db:
            account = await find(db, "service", service)
            _refuse_beyond(account, scope)
            key, text = await self._add(db, account, name, scope, expires_at)
            await self._tell(db, "create", key, _described(key))
        await self._changed()
        return key, text

    async def of(self, service_id: str) -> Sequence[ServiceKey]:
        """The keys of a service, the oldest first; raises ``not_found``."""
        service = in_full("service", service_id, self._tenant)
        async with self._store.read() as db:
            await find(db, "service", service)
            mine = ServiceKey.account_id == service
            return (await db.scalars(select(ServiceKey).where(mine).order_by(ServiceKey.created_at))).all()

    async def all(self) -> Sequence[ServiceKey]:
        """The keys of all the tenant's services, by service."""
        by = (ServiceKey.account_id, ServiceKey.created_at)
        mine = select(ServiceKey).join(Account).where(Account.tenant == self._tenant)
        async with self._store.read() as db:
            return (await db.scalars(mine.order_by(*by))).all()

    async def rotate(
        self, key_id: str, *, service_id: str | None = None, overlap: float | None = None
    ) -> tuple[ServiceKey, str, ServiceKey]:
        """Make a key like this one: its name, its scope, its length of life. Returns it, its text, and the old one.

        The old one goes on until it is revoked or ends; with ``overlap``, so many seconds at most. Raises ``not_found``
        (also if it is not a key of ``service_id``, where that is given) and ``request_invalid``.
        """
        now = self._clock()
        async with self._store.write() as db:
            old = await self._find(db, key_id, service_id)
            account = await find(db, "service", old.account_id)
            life = None if old.expires_at is None else max(old.expires_at - old.created_at, 1.0)
            until = None if life is None else now + life
            new, text = await self._add(db, account, old.name, api_keys.scope_of(old), until)
            if overlap is not None and (old.expires_at is None or old.expires_at > now + overlap):
                old.expires_at = now + overlap
            await self._tell(db, "rotate", old, {"by": new.id, "until": old.expires_at})
        await self._changed()
        return new, text, old

    async def revoke(self, key_id: str, *, service_id: str | None = None) -> ServiceKey:
        """End a key, and the tokens that were got with it; returns what it was.

        Raises ``not_found`` (also if it is not a key of ``service_id``, where that is given).
        """
        async with self._store.write() as db:
            key = await self._find(db, key_id, service_id)
            await db.delete(key)
            db.add(change_of(key.account_id, self._clock()))
            await self._tell(db, "revoke", key)
        await self._changed()
        return key

    async def find_text(self, text: str) -> ServiceKey:
        """The key that this is, of whatever tenant; for whoever found it.

        Raises ``token_malformed`` and ``key_unknown``.
        """
        key_id = api_keys.id_of(text)
        async with self._store.read() as db:
            key = await db.get(ServiceKey, key_id)
        # Somebody who has only the id has nothing that could leak further; to end it by that, they say so.
        if key is None or not digest_matches(key.secret_hash, text):
            raise HubError("key_unknown")
        return key

    async def _add(
        self, db: AsyncSession, account: Account, name: str, scope: Scope, expires_at: float | None
    ) -> tuple[ServiceKey, str]:
        now = self._clock()
        if len(name) > MAX_NAME or not (name.isprintable()):
            raise HubError("request_invalid", f"A key's name has at most {MAX_NAME} characters that can be printed.")
        if expires_at is not None and expires_at <= now:
            raise HubError("request_invalid", "A key cannot end before it begins.")
        mine, service = ServiceKey.account_id == account.id, tenancy.local(account.id)
        await db.execute(delete(ServiceKey).where(mine, ServiceKey.expires_at < now - _EXPIRED_KEPT))
        if (await db.scalar(select(func.count()).where(mine)) or 0) >= MAX_KEYS:
            raise HubError("request_invalid", f"{service!r} has {MAX_KEYS} keys; revoke those that nobody uses.")
        key, text = api_keys.make(account.id, name=name, scope=scope, created_at=now, expires_at=expires_at)
        db.add(key)
        db.add(change_of(account.id, now))
        return key, text

    async def _find(self, db: AsyncSession, key_id: str, service_id: str | None) -> ServiceKey:
        key = await db.get(ServiceKey, key_id)
        tenant, name = ("", "") if key is None else tenancy.split(key.account_id)
        if key is None or tenant != self._tenant or service_id not in (None, name):
            raise HubError("not_found", f"There is no API key {key_id[:60]!r}.")
        return key

    async def _tell(self, db: AsyncSession, what: str, key: ServiceKey, details: dict[str, Any] | None = None) -> None:
        told = {"key": key.id, **(details or {})}
        service = tenancy.of_kind("service", key.account_id)
        record = Record(self._actor, f"key.{what}", service, details=told)
        await append(db, record, now=self._clock())

    async def _changed(self) -> None:
        if self._on_changed is not None:
            await self._on_changed()


def _expanded(scope: Scope, service_id: str) -> Scope:
    """The scope with the service's id for ``{sub}``; raises ``topic_invalid`` and ``request_invalid``."""

    def expanded(patterns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if patterns is None:
            return None
        return tuple(dict.fromkeys(check_pattern(expand(pattern, service_id)) for pattern in patterns))

    refuse_too_many(Grants(scope.subscribe or (), scope.publish or ()), ())
    return replace(scope, subscribe=expanded(scope.subscribe), publish=expanded(scope.publish))


def _refuse_beyond(account: Account, scope: Scope) -> None:
    name = tenancy.local(account.id)
    beyond = scope.beyond(grants_of(account))
    if beyond is not None:
        action, pattern = beyond
        raise HubError("request_invalid", f"{name!r} itself may not {action} {pattern!r}, so no key of its may.")
    if scope.admin and not account.admin:
        raise HubError("request_invalid", f"{name!r} itself is no administrator, so no key of its is.")


def _described(key: ServiceKey) -> dict[str, Any]:
    """What the audit log tells of a new key."""
    told = {name: getattr(key, name) for name in ("name", "subscribe", "publish", "admin", "expires_at")}
    return {name: value for name, value in told.items() if value not in (None, "", False)}
