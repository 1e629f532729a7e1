"""Ending one access token, one session or one API key before its time: for whoever finds one where it should not be.

A token is refused from then on (``token_revoked``) and its connections are closed, also after a restart, until it would
have ended by itself. The refresh token of its session goes on giving others: where that leaked too, end the session.
Who ended what is in the audit log. An id that is given is one of one tenant. Knows store, models, sessions, api_keys,
service_keys, audit, tenancy and verified.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from copy import copy
from dataclasses import dataclass
from time import time
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncSession

from hub import tenancy
from hub.database.store import Store
from hub.errors import HubError
from hub.identity import api_keys, sessions
from hub.identity.audit import HUB, Actor, Record, append
from hub.identity.models import Change, LoginSession
from hub.identity.service_keys import ServiceKeys
from hub.identity.verified import Verified

UNKNOWN_LIFE = 30 * 86400.0
"""Seconds for which a token is remembered of which only the id is known, unless the hub's own live longer."""

_MAX_ID = 256


@dataclass(frozen=True, slots=True)
class Ended:
    """What was ended: its id, whose it was if that is known, both in full, and until when that is remembered (Unix
    seconds).

    An API key is deleted, so there is nothing to remember: None.
    """

    kind: Literal["token", "session", "key"]
    id: str
    subject: str | None
    until: float | None


class Endings:
    """Ends tokens and sessions of one tenant. ``verify`` checks a token's signature and times; ``changed`` is awaited
    afterwards.

    ``own_life``: seconds that a token of this hub lives at most.
    """

    def __init__(
        self,
        store: Store,
        verify: Callable[[str], Awaitable[Verified]],
        keys: ServiceKeys,
        *,
        own_life: float,
        clock: Callable[[], float] = time,
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = store
        self._verify = verify
        self._keys = keys
        self._unknown_life = max(UNKNOWN_LIFE, own_life)
        self._clock = clock
        self._changed = changed
        self._actor = HUB
        self._tenant = tenancy.DEFAULT

    def within(self, tenant: str) -> Endings:
        """Those of another tenant."""
        theirs = copy(self)
        theirs._tenant = tenant
        return theirs

    def by(self, actor: Actor) -> Endings:
        """The same, done by somebody: the audit log names them."""
        theirs = copy(self)
        theirs._actor = actor
        theirs._keys = self._keys.by(actor)
        return theirs

    async def token(self, token: str) -> Ended:
        """End an access token, or an API key.

        Operators may end one of any tenant; it says itself whose it is. Raises ``request_invalid`` if it is refused
        anyway, such as one that has expired, and ``forbidden`` if it is another tenant's.
        """
        try:
            if api_keys.is_meant(token):
                key = await self._keys.find_text(token)
                self._refuse_foreign(key.account_id)
                await self._keys.within(tenancy.tenant_of(key.account_id)).revoke(key.id)
                return Ended("key", key.id, key.account_id, None)
            verified = await self._verify(token)
        except HubError as refusal:
            if refusal.code == "forbidden":
                raise
            # Not with its own code: to whoever calls this over HTTP, that would be about the token they call with.
            raise HubError(
                "request_invalid", f"This token is refused already ({refusal.code}): {refusal.detail}"
            ) from None
        self._refuse_foreign(verified.subject)
        if not verified.token_id:
            raise HubError("request_invalid", "This token has no id (jti) by which to refuse it; end its session.")
        return await self._end_token(verified.token_id, verified.subject, verified.expires_at)

    async def token_id(self, token_id: str) -> Ended:
        """End the access token with this ``jti``; who has the token itself had better give that.

        When it ends is not known, so it is remembered for ``UNKNOWN_LIFE``. Raises ``request_invalid``.
        """
        _check(token_id)
        in_full = tenancy.join(self._tenant, token_id)
        return await self._end_token(in_full, None, self._clock() + self._unknown_life)

    async def session(self, session_id: str) -> Ended:
        """End a session: its access tokens and its refresh tokens. Raises ``request_invalid``."""
        _check(session_id)
        session_id = tenancy.join(self._tenant, session_id)
        until = self._clock() + self._unknown_life
        async with self._store.write() as db:
            stored = await db.get(LoginSession, session_id)
            subject = None
            if stored is not None:
                subject, until = stored.account_id, stored.access_expires_at
            await sessions.end(db, session_id, subject, "token_revoked", until=until)
            await self._tell(db, Ended("session", session_id, subject, until))
        await self._changed()
        return Ended("session", session_id, subject, until)

    async def _end_token(self, token_id: str, subject: str | None, until: float) -> Ended:
        ended = Ended("token", token_id, subject, until)
        async with self._store.write() as db:
            db.add(Change(kind="token", name=token_id, account_id=subject, code="token_revoked", expires_at=until))
            await self._tell(db, ended)
        await self._changed()
        return ended

    def _refuse_foreign(self, subject: str) -> None:
        if self._tenant not in (tenancy.DEFAULT, tenancy.tenant_of(subject)):
            raise HubError("forbidden", "This is a token of another tenant.")

    async def _tell(self, db: AsyncSession, ended: Ended) -> None:
        details = {} if ended.subject is None else {"subject": ended.subject}
        target = tenancy.of_kind(ended.kind, ended.id)
        record = Record(self._actor, f"{ended.kind}.revoke", target, details=details)
        await append(db, record, now=self._clock())


def _check(name: str) -> None:
    if not 1 <= len(name) <= _MAX_ID or tenancy.SEPARATOR in name:
        raise HubError("request_invalid", f"An id has 1 to {_MAX_ID} characters, none of them '#'.")
