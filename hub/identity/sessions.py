"""Login sessions and their refresh tokens: rotated at each use, and ended when one is used again (RFC 9700, 4.14.2).

A refresh token has two random halves: the family, which all of a session share, and its own. Only hashes are stored,
and of the own halves only those of the last two generations: a token whose family is known and whose own half is not
is one that was spent, however long ago. So a session stays a few rows, and a theft is noticed at any time.

A client that lost the answer to its refresh may use the spent token again for ``GRACE`` seconds, and tabs that share
one may race. Each gets a token of the same generation; as soon as one of these is used, the others are spent.
Knows models, passwords, audit and errors. Works inside the caller's transaction.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from hub import tenancy
from hub.errors import HubError
from hub.identity.audit import Record, anonymous, append
from hub.identity.models import Account, Change, LoginSession, RefreshToken
from hub.identity.passwords import digest, random_secret

_log = logging.getLogger(__name__)

GRACE = 10.0
"""Seconds for which the token spent last still works, counted from when it was first used."""

PREFIX = "hubr_"
"""How a refresh token begins: so it is never taken for an access token, nor one of those for it."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """A session that goes on, its account, and the next refresh token."""

    session: LoginSession
    account: Account
    refresh_token: str


def family_of(refresh_token: str) -> str:
    """What all refresh tokens of a session have in common, hashed; for counting, not for looking up."""
    return digest(_halves(refresh_token)[0])


async def begin(db: AsyncSession, account: Account, *, now: float, ttl: float) -> tuple[LoginSession, str]:
    """A new session of the account, and its first refresh token."""
    family = random_secret("", 16)
    session = LoginSession(
        id=tenancy.join(tenancy.tenant_of(account.id), random_secret("", 12)),
        account_id=account.id,
        family_hash=digest(family),
        generation=0,
        rotated_at=now,
        created_at=now,
        expires_at=now + ttl,
        access_expires_at=now,
    )
    db.add(session)
    # The refresh token's row refers to it.
    await db.flush()
    return session, _issue(db, session, family)


async def rotate(db: AsyncSession, refresh_token: str, *, now: float, ttl: float) -> Rotated | None:
    """Spend a refresh token for the next one.

    None: it was spent before; nothing is changed, the session is to be ended (``end_reused``). Others may write
    meanwhile: whoever spends a token of the same session waits. Raises ``refresh_invalid`` and ``user_disabled``.
    """
    session = await _session_of(db, refresh_token)
    if session is None or session.expires_at <= now:
        raise HubError("refresh_invalid", "The refresh token is unknown or expired; log in again.")
    account = await db.get_one(Account, session.account_id)
    if account.disabled:
        raise HubError("user_disabled")
    family, own = _halves(refresh_token)
    spent = await db.get(RefreshToken, digest(own))
    generation = spent.generation if spent is not None and spent.session_id == session.id else None
    if generation == session.generation:
        session.generation += 1
        session.rotated_at = now
        outdated = RefreshToken.generation < session.generation - 1
        await db.execute(delete(RefreshToken).where(RefreshToken.session_id == session.id, outdated))
    elif generation != session.generation - 1 or now - session.rotated_at > GRACE:
        return None
    session.expires_at = now + ttl
    return Rotated(session, account, _issue(db, session, family))


async def end_reused(db: AsyncSession, refresh_token: str, *, now: float, address: str = "") -> None:
    """End the session of a refresh token that ``rotate`` found spent. ``address``: of the client, for the audit log."""
    session = await _session_of(db, refresh_token)
    if session is None:
        return  # Somebody else ended it.
    _log.warning("A spent refresh token of %s was used again: the session is ended", session.account_id)
    # In the log even if it is the account's own browser: it may be a thief's.
    target, details = tenancy.of_kind("user", session.account_id), {"session": session.id}
    await append(db, Record(anonymous(address), "refresh", target, "refresh_reused", details), now=now)
    await end(db, session.id, session.account_id, "token_revoked", until=session.access_expires_at)


async def _session_of(db: AsyncSession, refresh_token: str) -> LoginSession | None:
    """The session, held until the transaction ends."""
    if not refresh_token.startswith(PREFIX):
        raise HubError("refresh_invalid", f"This is no refresh token, which begins with {PREFIX}; log in again.")
    family = digest(_halves(refresh_token)[0])
    return await db.scalar(select(LoginSession).where(LoginSession.family_hash == family).with_for_update())


async def end(db: AsyncSession, session_id: str, account_id: str | None, code: str, *, until: float) -> None:
    """End a session: its refresh tokens are gone, and its access tokens refused with ``code``.

    ``until``: when the last known access token ends; if the session is stored, the later of the two counts. A session
    that is not stored (a service's) can be ended too.
    """
    # Held: a refresh at the same moment could still mint a token that ends later.
    session = await db.get(LoginSession, session_id, with_for_update=True, populate_existing=True)
    if session is not None:
        until = max(until, session.access_expires_at)
        await db.delete(session)
    db.add(Change(kind="session", name=session_id, account_id=account_id, code=code, expires_at=until))


def _halves(refresh_token: str) -> tuple[str, str]:
    family, _, own = refresh_token.removeprefix(PREFIX).partition(".")
    return family, own


def _issue(db: AsyncSession, session: LoginSession, family: str) -> str:
    own = random_secret("", 32)
    db.add(RefreshToken(hash=digest(own), session_id=session.id, generation=session.generation))
    return f"{PREFIX}{family}.{own}"
