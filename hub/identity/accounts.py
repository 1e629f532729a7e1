"""Users and services: made, changed, listed. The running hub and the command line both work through this.

Promises: an id is one account's, user or service, for ever; a secret is shown when it is made and never again; a change
that takes rights away is in the feed in the same transaction. Grants are kept as given, with ``{sub}`` in them.
Each change is in the audit log, in the same transaction. Who works through it names accounts by their local ids, and
reaches those of one tenant. Knows store, models, passwords, api_keys, rights, audit, tenancy, the model, settings and
errors.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from time import time
from typing import Any

from sqlalchemy import ColumnElement, case, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from hub import tenancy
from hub.database.store import Store
from hub.errors import HubError
from hub.identity import api_keys
from hub.identity.audit import HUB, Actor, Record, append
from hub.identity.models import Account, Change, Kind, LoginSession, ServiceKey
from hub.identity.passwords import Passwords
from hub.identity.rights import checked, grants_of, refuse_too_many, topics_of
from hub.identity.scope import Scope
from hub.identity.times import LEEWAY
from hub.issuer_settings import Outsiders
from hub.model import Grants, is_subject
from hub.settings import SettingsError

SERVICE_GRANTS = Grants(publish=("*", "user:*", "all"))
"""What a new service may do: publish anywhere, read nothing."""
_NOBODY_ELSE = Outsiders()

_FEED_SECONDS = 3600.0
"""How long a changed account stays in the feed. Every hub reads it within ten seconds, or starts anew."""


@dataclass(frozen=True, slots=True)
class Update:
    """What to change of an account; None leaves it as it is."""

    password: str | None = None
    disabled: bool | None = None
    admin: bool | None = None
    grants: Grants | None = None
    topics: tuple[str, ...] | None = None


async def _nobody() -> None:
    """Nobody needs to be told at once."""


class Accounts:
    """Administers the users and services of one tenant. ``changed`` is awaited after a change is committed that others
    must learn.

    ``outsiders`` are the users of other issuers: no account may have an id of theirs, and they can be logged out, too.
    """

    def __init__(
        self,
        store: Store,
        passwords: Passwords,
        *,
        clock: Callable[[], float] = time,
        changed: Callable[[], Awaitable[None]] = _nobody,
        outsiders: Outsiders = _NOBODY_ELSE,
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._clock = clock
        self._changed = changed
        self._outsiders = outsiders
        self._actor = HUB
        self._tenant = tenancy.DEFAULT

    def within(self, tenant: str) -> Accounts:
        """Those of another tenant: no name reaches beyond it. There are none before the first is made."""
        theirs = copy(self)
        theirs._tenant = tenant
        return theirs

    def by(self, actor: Actor) -> Accounts:
        """The same accounts, administered by somebody: the audit log names them."""
        theirs = copy(self)
        theirs._actor = actor
        return theirs

    async def refuse_reserved(self) -> None:
        """Raise ``SettingsError`` if an account has an id that is reserved now: another issuer could speak for it."""
        async with self._store.read() as db:
            for tenant, prefix in self._outsiders.marks:
                taken = await db.scalar(select(Account.id).where(*_begin_with(prefix, tenant)).limit(1))
                if taken is not None:
                    raise SettingsError(
                        f"HUB_ISSUERS (or issuers in hub.toml): the hub has an account {taken!r}, but {prefix!r} "
                        "begins the ids of another issuer's users; choose another name or user_prefix."
                    )

    async def create_user(
        self,
        username: str,
        password: str,
        *,
        admin: bool = False,
        grants: Grants | None = None,
        topics: Sequence[str] = (),
    ) -> Account:
        """Make a user. Their id is the username.

        Raises ``request_invalid``, ``topic_invalid`` or ``name_taken``.
        """
        account = self._new("user", username, username, grants or Grants(), topics)
        account.admin = admin
        account.secret_hash = await self._passwords.hash(password)
        await self._insert(account)
        return account

    async def create_service(
        self, name: str, *, admin: bool = False, grants: Grants = SERVICE_GRANTS, topics: Sequence[str] = ()
    ) -> tuple[Account, str]:
        """Make a service; returns it and its first key, which is not to be had again. Its id is made from the name.

        The key may do all that the service may. Raises ``request_invalid``, ``topic_invalid`` or ``name_taken``.
        """
        account = self._new("service", _service_id(name), name, grants, topics)
        account.admin = admin
        key, text = api_keys.make(
            account.id, name="first", scope=Scope(admin=admin), created_at=account.created_at, expires_at=None
        )
        await self._insert(account, key)
        await self._changed()
        return account, text

    async def create_first_administrator(self, username: str, password: str) -> bool:
        """Make an administrator if there is none; whether it was done. Raises ``name_taken``, ``request_invalid``."""
        if await self.has_administrator():
            return False
        account = self._new("user", username, username, Grants(), ())
        account.admin = True
        account.secret_hash = await self._passwords.hash(password)
        async with self._store.write() as db:
            if await _administrators(db):
                return False
            await _refuse_taken(db, account.id)
            db.add(account)
            await self._tell(db, "create", account, _described(account))
        return True

    async def has_administrator(self) -> bool:
        """Whether there is an administrator, disabled ones included."""
        async with self._store.read() as db:
            return await _administrators(db) > 0

    async def get(self, kind: Kind, name: str) -> Account:
        """The account; raises ``not_found``."""
        async with self._store.read() as db:
            return await find(db, kind, in_full(kind, name, self._tenant))

    async def page(self, kind: Kind, *, after: str = "", limit: int = 100) -> tuple[Sequence[Account], bool]:
        """Up to ``limit`` accounts whose id follows ``after``, by id, and whether there are more."""
        mine = (Account.tenant == self._tenant, Account.kind == kind)
        follow = Account.id > tenancy.join(self._tenant, after)
        wanted = select(Account).where(*mine, follow).order_by(Account.id).limit(limit + 1)
        async with self._store.read() as db:
            found = (await db.scalars(wanted)).all()
        return found[:limit], len(found) > limit

    async def update(self, kind: Kind, name: str, update: Update) -> Account:
        """Change an account; returns it as it is then.

        A new password ends all its sessions. Other rights make its tokens be refused (``token_revoked``), but sessions
        live on: a refresh gives a token with the new rights. While disabled all is refused (``user_disabled``); once
        enabled again, it has to log in anew. Raises ``not_found``, ``request_invalid``, ``topic_invalid``.
        """
        account_id = in_full(kind, name, self._tenant)
        columns = checked(account_id, update.grants, update.topics)
        if update.password is not None:
            columns["secret_hash"] = await self._passwords.hash(update.password)
        if update.admin is not None:
            columns["admin"] = update.admin
        async with self._store.write() as db:
            account = await find(db, kind, account_id)
            if update.disabled or update.admin is False:
                await _refuse_last_administrator(db, account)
            different = {column: value for column, value in columns.items() if getattr(account, column) != value}
            changes = _changes(account, different)
            for column, value in different.items():
                setattr(account, column, value)
            refuse_too_many(grants_of(account), topics_of(account))
            if different:
                self._note(db, account, revoke=True)
            if "secret_hash" in different or (account.disabled and update.disabled is False):
                await _end_sessions(db, account)
            if update.disabled is not None and update.disabled != account.disabled:
                changes["disabled"] = [account.disabled, update.disabled]
                account.disabled = update.disabled
                self._note(db, account, revoke=update.disabled)
            if changes:
                await self._tell(db, "change", account, changes)
        await self._changed()
        return account

    async def end_sessions(self, name: str) -> None:
        """Log a user out everywhere (``token_revoked``), one of another issuer too. Raises ``not_found``.

        Of those, nobody here knows who exists: any id that could be one of theirs is taken for one.
        """
        user_id = in_full("user", name, self._tenant)
        async with self._store.write() as db:
            if await db.get(Account, user_id) is None and self._outsiders.may_have(user_id):
                await self._end_outsider(db, user_id)
            else:
                account = await find(db, "user", user_id)
                await _end_sessions(db, account)
                self._note(db, account, revoke=True)
                await self._tell(db, "logout", account)
        await self._changed()

    async def _end_outsider(self, db: AsyncSession, user_id: str) -> None:
        now = self._clock()
        # Until the last token that there may be has ended.
        until = now + self._outsiders.max_life + LEEWAY
        db.add(
            Change(
                kind="outsider", name=user_id, account_id=user_id, code="token_revoked", made_at=now, expires_at=until
            )
        )
        await append(db, Record(self._actor, "user.logout", tenancy.of_kind("user", user_id)), now=now)

    def _new(self, kind: Kind, own_id: str, name: str, grants: Grants, topics: Sequence[str]) -> Account:
        if not is_subject(own_id):
            raise HubError(
                "request_invalid", f"{name[:60]!r} cannot be a name: 1-128 characters of A-Z a-z 0-9 _ . @ + / = | ~ -."
            )
        account_id = tenancy.join(self._tenant, own_id)
        if self._outsiders.own(account_id):
            raise HubError("request_invalid", f"Ids that begin as {name[:60]!r} does belong to another issuer's users.")
        account = Account(
            id=account_id,
            tenant=self._tenant,
            kind=kind,
            name=name,
            admin=False,
            disabled=False,
            version=0,
            revoked_at=0.0,
            created_at=self._clock(),
            **checked(account_id, grants, tuple(topics)),
        )
        refuse_too_many(grants_of(account), topics_of(account))
        return account

    async def _insert(self, account: Account, key: ServiceKey | None = None) -> None:
        async with self._store.write() as db:
            await _refuse_taken(db, account.id)
            db.add(account)
            if key is not None:
                await db.flush()  # The key's row refers to it.
                db.add(key)
                self._note(db, account, revoke=False)
            await self._tell(db, "create", account, _described(account))

    async def _tell(
        self, db: AsyncSession, what: str, account: Account, details: Mapping[str, Any] | None = None
    ) -> None:
        """Write it into the audit log, or fail with the change."""
        record = Record(
            self._actor, f"{account.kind}.{what}", tenancy.of_kind(account.kind, account.id), details=details or {}
        )
        await append(db, record, now=self._clock())

    def _note(self, db: AsyncSession, account: Account, *, revoke: bool) -> None:
        """Put the account into the feed; ``revoke`` ends the tokens it has."""
        now = self._clock()
        if revoke:
            account.version += 1
            account.revoked_at = now
        db.add(change_of(account.id, now))


def _begin_with(prefix: str, tenant: str | None) -> tuple[ColumnElement[bool], ...]:
    """The accounts whose local ids begin so, of a tenant or (None) of any."""
    # Not LIKE, to which upper and lower case are the same on SQLite.
    if tenant is not None:
        start = tenancy.join(tenant, prefix)
        return (Account.tenant == tenant, func.substr(Account.id, 1, len(start)) == start)
    behind = case((Account.tenant == tenancy.DEFAULT, 0), else_=func.length(Account.tenant) + 1)
    return (func.substr(Account.id, behind + 1, len(prefix)) == prefix,)


def change_of(account_id: str, now: float) -> Change:
    """For the feed: this account, or the keys it has, are to be read again."""
    return Change(kind="account", name=account_id, account_id=account_id, expires_at=now + _FEED_SECONDS)


def _described(account: Account) -> dict[str, Any]:
    """What the audit log tells of a new account."""
    rights = {name: getattr(account, name) for name in ("admin", "subscribe", "publish", "topics")}
    return {name: value for name, value in rights.items() if value}


def _changes(account: Account, different: Mapping[str, object]) -> dict[str, Any]:
    """What the audit log tells of columns that are about to change: before and after; of a password, that it did."""
    changes: dict[str, Any] = {name: [getattr(account, name), value] for name, value in different.items()}
    if changes.pop("secret_hash", None) is not None:
        changes["password"] = True
    return changes


def in_full(kind: Kind, name: str, tenant: str) -> str:
    """The id in full of an account that somebody of a tenant names; raises ``not_found`` for what is no name."""
    if tenancy.SEPARATOR in name:
        raise _missing(kind, name)
    return tenancy.join(tenant, name)


async def find(db: AsyncSession, kind: Kind, account_id: str) -> Account:
    """The account, in the caller's transaction; raises ``not_found``."""
    account = await db.get(Account, account_id)
    if account is None or account.kind != kind:
        raise _missing(kind, tenancy.local(account_id))
    return account


def _missing(kind: Kind, name: str) -> HubError:
    return HubError("not_found", f"There is no {kind} {name[:60]!r}.")


async def _administrators(db: AsyncSession) -> int:
    """Those of the default tenant: the operators."""
    people = (Account.admin, Account.kind == "user", Account.tenant == tenancy.DEFAULT)
    return (await db.scalar(select(func.count()).where(*people))) or 0


async def _refuse_taken(db: AsyncSession, account_id: str) -> None:
    taken = await db.get(Account, account_id)
    if taken is not None:
        raise HubError("name_taken", f"There is already a {taken.kind} {tenancy.local(account_id)!r}.")


async def _refuse_last_administrator(db: AsyncSession, account: Account) -> None:
    if not account.admin or account.disabled or account.kind != "user" or account.tenant != tenancy.DEFAULT:
        return  # Of a tenant without one, an operator makes another.
    people = (Account.admin, ~Account.disabled, Account.kind == "user", Account.tenant == tenancy.DEFAULT)
    others = select(func.count()).where(*people, Account.id != account.id)
    if not await db.scalar(others):
        raise HubError(
            "request_invalid", f"{account.id!r} is the only administrator who can log in; make another one first."
        )


async def _end_sessions(db: AsyncSession, account: Account) -> None:
    await db.execute(delete(LoginSession).where(LoginSession.account_id == account.id))


def _service_id(name: str) -> str:
    """``Billing service`` is ``billing-service``; raises ``request_invalid``, proposing an id, if that is none."""
    wanted = "-".join(name.lower().split())
    if is_subject(wanted):
        return wanted
    # An accent is taken off its letter; what is left that no id may have is not kept.
    plain = unicodedata.normalize("NFKD", wanted).encode("ascii", "ignore").decode()
    proposal = re.sub(r"[^a-z0-9_.@+/=|~]+", "-", plain).strip("-")[:128]
    raise HubError(
        "request_invalid",
        f"No service's id can be made from {name[:60]!r}: 1-128 characters of A-Z a-z 0-9 _ . @ + / = | ~ - and spaces"
        + (f"; try {proposal!r}." if proposal else "."),
    )
