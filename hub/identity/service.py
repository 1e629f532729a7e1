"""Identity: who may come in, with which token, and for how long. What the rest of the hub is handed of this package.

``authenticate`` is what every request and every socket asks; it is synchronous and needs no I/O (where it would need
some, for a new key of another issuer, it says so: ``NotYet``). All else is for the routes and the start of the hub.
Messaging never imports this: it is handed a ``Principal`` and an expiry.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import time
from types import TracebackType
from typing import Literal, TypeVar

from sqlalchemy import select

from hub import tenancy
from hub.database.store import Store
from hub.errors import HubError, NotYet
from hub.identity import api_keys, sessions
from hub.identity.accounts import Accounts
from hub.identity.attempts import AttemptLimits, Attempts
from hub.identity.audit import Actor, Record, append
from hub.identity.audit_keeper import Keeper
from hub.identity.audit_log import AuditLog
from hub.identity.audit_notes import Notes
from hub.identity.client_credentials import exchange
from hub.identity.endings import Endings
from hub.identity.feed import Feed, OnChange
from hub.identity.key_index import KeyIndex
from hub.identity.key_usage import KeyUsage
from hub.identity.models import Account
from hub.identity.passwords import Passwords, random_password
from hub.identity.revocations import Revocations
from hub.identity.rights import grants_of, topics_of
from hub.identity.service_keys import ServiceKeys
from hub.identity.shared_tickets import SharedTickets
from hub.identity.signing import SigningKeys
from hub.identity.tickets import Tickets
from hub.identity.times import LEEWAY
from hub.identity.tokens import Access, Tokens
from hub.identity.verified import Verified
from hub.identity.verifier import Verifier
from hub.ids import random_id
from hub.issuer_settings import Outsiders
from hub.model import Grants, Principal, Topic, is_subject
from hub.policy import check_pattern
from hub.settings import Settings, SettingsError
from hub.transports.credentials import admit

log = logging.getLogger(__name__)

_Part = TypeVar("_Part")


@dataclass(frozen=True, slots=True)
class ServiceTokens:
    """What a service is given. It needs no refresh token: it has its secret. ``expires_in``: seconds from now."""

    access_token: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class UserTokens:
    """What a login or a refresh gives. Lives are in seconds from now."""

    access_token: str
    expires_in: int
    refresh_token: str
    refresh_expires_in: int


class Identity:
    """Users, services, sessions and tokens of one hub. ``start`` it, ``stop`` it, or use it with ``async with``."""

    def __init__(
        self,
        settings: Settings,
        *,
        on_change: OnChange | None = None,
        clock: Callable[[], float] = time,
        passwords: Passwords | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._passwords = passwords or Passwords()
        self._store = Store(settings)
        limits = AttemptLimits(
            settings.login_failures,
            settings.login_failures_account,
            settings.login_failures_address,
            settings.login_successes,
        )
        self.store = self._store
        """For others who keep tables in the same database."""
        self.audit = AuditLog(self._store, clock=clock)
        self.notes = Notes(clock=clock)
        self._keeper = Keeper(
            self._store,
            self.audit,
            self.notes,
            retention=settings.audit_retention,
            max_lines=settings.audit_max_lines,
            clock=clock,
        )
        # Each apart: an old secret in a program, or a morning of expired sessions, must keep nobody from logging in.
        self._logins, self._refreshes, self._secrets = (
            Attempts(limits, refused=partial(self.notes.refused, action)) for action in ("login", "refresh", "token")
        )
        self._revocations = Revocations()
        self._keys = KeyIndex()
        self._key_usage = KeyUsage(self._store, self._keys)
        self._feed = Feed(
            self._store,
            self._revocations,
            interval=settings.revocation_poll,
            clock=clock,
            on_change=on_change,
            keys=self._keys,
            renew_keys=self._renew_keys,
        )
        self._signing_keys = SigningKeys(settings, self._store, clock=clock)
        self._tokens: Tokens | None = None
        shared = SharedTickets(self._store) if settings.database_url is not None else None
        self.tickets = Tickets(self.authenticate, shared=shared, clock=clock)
        self._verifier: Verifier | None = None
        self._outsiders = Outsiders.of(settings.issuers)
        self.accounts = Accounts(
            self._store,
            self._passwords,
            clock=clock,
            changed=self._feed.catch_up,
            outsiders=self._outsiders,
        )
        self.service_keys = ServiceKeys(self._store, clock=clock, changed=self._feed.catch_up)
        self.endings = Endings(
            self._store,
            self._verify,
            self.service_keys,
            own_life=settings.access_ttl,
            clock=clock,
            changed=self._feed.catch_up,
        )

    async def start(self) -> None:
        """Read the key, open the database, load what is revoked.

        Raises ``SettingsError``, one sentence; then nothing is left open.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        await self._store.open()
        keyring = await self._signing_keys.load()
        self._revocations.retired_keys = keyring.retired
        self._tokens = Tokens(
            keyring,
            issuer=self._settings.issuer,
            audience=self._settings.audience,
            ttl=self._settings.access_ttl,
            clock=self._clock,
        )
        self._verifier = Verifier(self._tokens, self._settings.issuers, clock=self._clock)
        await self.accounts.refuse_reserved()
        await self._feed.start()
        await self._verifier.start()
        self._keeper.start()
        self._key_usage.start()

    async def _renew_keys(self) -> None:
        keyring = await self._signing_keys.load()
        _started(self._tokens).keyring = keyring
        self._revocations.retired_keys = keyring.retired

    async def stop(self) -> None:
        """Give back threads and connections. Safe to call twice."""
        if self._verifier is not None:
            await self._verifier.stop()
        await self._feed.stop()
        await self._keeper.stop()
        await self._key_usage.stop()
        await self._store.close()
        self._passwords.close()

    async def __aenter__(self) -> Identity:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def check(self) -> None:
        """Whether the database answers, for readiness; raises ``database_unavailable`` if not."""
        async with self._store.read() as db:
            await db.execute(select(1))

    async def bootstrap(self) -> str | None:
        """Make the first administrator, if there is none.

        Returns their password if it was made up here, to be shown this once. An administrator who exists is left alone,
        also if the settings give another password. Raises ``SettingsError`` if the name cannot be used.
        """
        given = self._settings.admin_password
        password = random_password() if given is None else given.get_secret_value()
        name = self._settings.admin_username
        try:
            made = await self.accounts.create_first_administrator(name, password)
        except HubError as error:
            raise SettingsError(
                f"The first administrator {name!r} cannot be made: {error.detail} Choose with HUB_ADMIN_USERNAME."
            ) from None
        return password if made and given is None else None

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public keys with which others can verify the hub's tokens (RFC 7517, section 5)."""
        return _started(self._tokens).keyring.jwks(self._clock())

    def authenticate(self, token: str) -> Principal:
        """Who the access token, or the API key of a service, speaks for. No I/O.

        Raises the ``token_…`` or ``key_…`` error that says what is wrong with it, ``logged_out``, ``user_disabled``;
        ``NotYet`` if the keys of its issuer have to be fetched first, or an API key may have been made a moment ago.
        """
        if token.startswith(sessions.PREFIX):
            raise HubError("token_type", "This is a refresh token: /v1/auth/refresh gives an access token for it.")
        if not api_keys.is_meant(token):
            return self.review(_started(self._verifier).verify(token))
        try:
            return self._keys.verify(token, self._clock())
        except HubError as refusal:
            if refusal.code == "key_unknown":
                raise NotYet(refusal.code, ready=self._feed.look) from None
            raise

    async def _verify(self, token: str) -> Verified:
        """As ``authenticate``, but whether it was revoked is not asked; keys that have to be fetched are waited for."""
        principal = await admit(_started(self._verifier).verify, token)
        assert isinstance(principal, Verified)
        return principal

    def review(self, principal: Principal) -> Principal:
        """What has become of somebody who was authenticated before, such as the principal of a live connection. No I/O.

        Raises what ``authenticate`` would raise of their token now, but for its expiry.
        """
        assert isinstance(principal, Verified), "who comes in was authenticated here"
        if not principal.is_key:
            self._revocations.check(principal)
        return self._keys.review(principal)

    async def login(self, username: str, password: str, address: str = "", *, tenant: str = "") -> UserTokens:
        """Begin a session of a user of a tenant. ``address`` is the client's.

        Raises ``credentials_invalid``, no sooner for an unknown name than for a wrong password; ``user_disabled``,
        only if the password is right; ``too_many_attempts`` and ``overloaded``.
        """
        # What is no name, such as one in full, is nobody's, and no sooner found out than an unknown one.
        user = tenancy.join(tenant, username) if is_subject(username) else ""
        with self._logins.of(tenancy.join(tenant, f"user:{username}"), address):
            return await self._login(user, password, address)

    async def _login(self, user: str, password: str, address: str) -> UserTokens:
        async with self._store.read() as db:
            found = await db.get(Account, user)
        try:
            return await self._begin_session(found, user, password, address)
        except HubError as refusal:
            # Somebody's name, or none: what is nobody's may be a password, typed into the wrong field.
            name = "an unknown name" if found is None else repr(found.id)
            log.warning("login of %s from %s refused: %s", name, address or "somewhere", refusal.code)
            raise

    async def _begin_session(self, found: Account | None, user: str, password: str, address: str) -> UserTokens:
        hashed = found.secret_hash if found is not None and found.kind == "user" else None
        if not await self._passwords.verify(hashed, password) or hashed is None:
            raise HubError("credentials_invalid")
        fresh = await self._passwords.hash(password) if self._passwords.is_outdated(hashed) else hashed
        now = self._clock()
        async with self._store.write() as db:
            account = await db.get_one(Account, user)
            if account.disabled:
                raise HubError("user_disabled")
            # The password may have been changed while the old one was being verified.
            if account.secret_hash != hashed:
                raise HubError("credentials_invalid")
            account.secret_hash = fresh
            session, refresh_token = await sessions.begin(db, account, now=now, ttl=self._settings.refresh_ttl)
            access = self._mint(account, session.id)
            session.access_expires_at = access.expires_at
            await append(db, Record(Actor(tenancy.of_kind("user", account.id), session.id, address), "login"), now=now)
        return self._user_tokens(access, refresh_token, now)

    async def refresh(self, refresh_token: str, address: str = "") -> UserTokens:
        """Go on with a session: a new access token with today's rights, and the next refresh token.

        Raises ``refresh_invalid``, ``refresh_reused`` (the session is ended), ``user_disabled``, ``too_many_attempts``.
        """
        with self._refreshes.of(sessions.family_of(refresh_token), address):
            account, tokens = await self._refresh(refresh_token, address)
        self._logins.know(tenancy.of_kind("user", account.id), address)
        return tokens

    async def _refresh(self, refresh_token: str, address: str) -> tuple[Account, UserTokens]:
        now = self._clock()
        # The busiest of all writers: every client comes back for it each quarter of an hour.
        async with self._store.write_beside() as db:
            rotated = await sessions.rotate(db, refresh_token, now=now, ttl=self._settings.refresh_ttl)
            if rotated is not None:
                access = self._mint(rotated.account, rotated.session.id)
                rotated.session.access_expires_at = max(rotated.session.access_expires_at, access.expires_at)
        if rotated is None:
            async with self._store.write() as db:
                await sessions.end_reused(db, refresh_token, now=now, address=address)
            await self._feed.catch_up()
            raise HubError("refresh_reused")
        return rotated.account, self._user_tokens(access, rotated.refresh_token, now)

    async def logout(self, principal: Principal, address: str = "") -> None:
        """End the session of the principal's token: ``logged_out`` from now on, its sockets too.

        Raises ``forbidden`` for an API key, which has none.
        """
        if isinstance(principal, Verified) and principal.is_key:
            raise HubError("forbidden", "An API key has no session that could end; revoke it instead.")
        # Of a login elsewhere, only its issuer knows the tokens: it may have given one that ends later than this one.
        until = max(principal.expires_at, self._clock() + self._outsiders.max_life + LEEWAY)
        async with self._store.write() as db:
            await append(db, Record(Actor.of(principal, address), "logout"), now=self._clock())
            await sessions.end(db, principal.session, principal.subject, "logged_out", until=until)
        await self._feed.catch_up()

    async def client_credentials(self, service_id: str, secret: str, address: str = "") -> ServiceTokens:
        """A token for a service (RFC 6749, 4.4).

        Raises ``credentials_invalid``, ``user_disabled`` and ``too_many_attempts``.
        """
        now = self._clock()
        # Whose service it is, its key says: an id of a tenant's needs no tenant beside it.
        tenant = self._keys.tenant_of(secret)
        with self._secrets.of(tenancy.join(tenant, f"service:{service_id}"), address):
            key, access = await exchange(self._store, _started(self._tokens), service_id, secret, now=now)
        if key.service_key not in self._keys:  # Made a moment ago, by another process.
            await self._feed.catch_up()
        self._keys.used[key.service_key] = now
        self.notes.done("token", Actor(key.source, key.session, address))
        return ServiceTokens(access.token, int(access.expires_at - now))

    def hand_out(
        self, user: str, grants: Grants, topics: tuple[Topic, ...], kind: Literal["user", "service"] = "user"
    ) -> Access:
        """A token for somebody whom the caller knows: the app that this hub is a part of. They need no account here.

        It cannot be refreshed: the app is asked for another. Raises ``topic_invalid`` for what is no id or pattern.
        """
        if not is_subject(user):
            raise HubError("topic_invalid", f"{user[:60]!r} is not a user id.")
        for pattern in (*grants.subscribe, *grants.publish):
            check_pattern(pattern)
        session = "app_" + random_id()
        return _started(self._tokens).mint(user, kind, session=session, version=None, grants=grants, topics=topics)

    def _mint(self, account: Account, session: str) -> Access:
        return _started(self._tokens).mint(
            account.id,
            account.kind,
            session=session,
            version=account.version,
            admin=account.admin,
            grants=grants_of(account),
            topics=topics_of(account),
        )

    def _user_tokens(self, access: Access, refresh_token: str, now: float) -> UserTokens:
        return UserTokens(access.token, int(access.expires_at - now), refresh_token, int(self._settings.refresh_ttl))


def _started(part: _Part | None) -> _Part:
    if part is None:
        raise RuntimeError("Identity is used before it was started.")
    return part
