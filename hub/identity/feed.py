"""How a hub learns what ended: it reads the feed of changes, its own and those of other processes.

There is one way only. What this process does itself (a logout) is written to the database and then read back at once;
what another one does (``hub user disable``) is found by looking every ``revocation_poll`` seconds. Each change is told
once, in order, also if both happen at the same time. Knows store, models and revocations.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence, Set

from sqlalchemy import delete, func, or_, select

from hub.database.store import Store
from hub.errors import HubError
from hub.identity.key_index import KeyIndex
from hub.identity.models import Account, Change, LoginSession, ServiceKey, WaitingTicket
from hub.identity.revocations import AccountState, Revocations

_log = logging.getLogger(__name__)

_TIDY_SECONDS = 600.0
_LOOK_PAUSE = 0.1


OnChange = Callable[[Set[str] | None], None]
"""Told when tokens of these subjects (None: of anybody) may have ended, or what they may do has changed: ask
``Identity.review`` of their live connections."""


class Feed:
    """Keeps ``revocations`` true to the database."""

    def __init__(
        self,
        store: Store,
        revocations: Revocations,
        *,
        interval: float,
        clock: Callable[[], float],
        on_change: OnChange | None,
        keys: KeyIndex,
        renew_keys: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = store
        self._revocations = revocations
        self._interval = interval
        self._clock = clock
        self._on_change = on_change
        self._keys = keys
        self._renew_keys = renew_keys
        self._looked_at = -math.inf
        self._looking = asyncio.Lock()
        self._other_keys = False
        self._seen = 0
        self._reading = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load what is revoked, also before this start, and keep watching."""
        await self._tidy()
        await self._load()
        self._task = asyncio.create_task(self._watch(), name="identity feed")

    async def stop(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def catch_up(self) -> None:
        """Take in every change that was committed before this call, but for other signing keys."""
        async with self._reading:
            async with self._store.read() as db:
                new = Change.id > self._seen
                news = (await db.scalars(select(Change).where(new).order_by(Change.id))).all()
                changed = select(Change.name).where(new, Change.kind == "account")
                accounts = (await db.scalars(select(Account).where(Account.id.in_(changed)))).all() if news else ()
                of_those = ServiceKey.account_id.in_(changed)
                keys = (await db.scalars(select(ServiceKey).where(of_those))).all() if accounts else ()
            if not news:
                return
            self._take_in_accounts(accounts, keys)
            for change in news:
                self._take_in(change)
            self._seen = news[-1].id
            subjects = {change.account_id for change in news if change.kind != "keys"}
            if subjects and self._on_change is not None:
                known = {subject for subject in subjects if subject is not None}
                self._on_change(known if len(known) == len(subjects) else None)

    async def look(self) -> None:
        """Catch up for somebody who came with what is not known (yet); raises nothing.

        Together with all others who ask at the time, and with a pause between, so that those who come with what nobody
        will ever know cost the hub ten reads a second, however many they are.
        """
        loop = asyncio.get_running_loop()
        arrived = loop.time()
        async with self._looking:
            if self._looked_at >= arrived:
                return
            await asyncio.sleep(self._looked_at + _LOOK_PAUSE - loop.time())
            self._looked_at = loop.time()
            with contextlib.suppress(HubError):
                await self.catch_up()

    async def _take_in_keys(self) -> None:
        """Read the signing keys again if there are others.

        Apart, and by the watch alone: where they cannot be read all else is taken in, and it is tried again.
        """
        if self._other_keys:
            await self._renew_keys()
            self._other_keys = False
            if self._on_change is not None:
                self._on_change(None)

    async def _load(self) -> None:
        async with self._store.read() as db:
            self._seen = (await db.execute(select(func.max(Change.id)))).scalar() or 0
            changed = select(Account).where(or_(Account.version > 0, Account.disabled, Account.kind == "service"))
            keys = (await db.scalars(select(ServiceKey))).all()
            self._take_in_accounts((await db.scalars(changed)).all(), keys)
            for change in (await db.scalars(select(Change).order_by(Change.id))).all():
                self._take_in(change)

    def _take_in_accounts(self, accounts: Sequence[Account], keys: Sequence[ServiceKey]) -> None:
        of_service = defaultdict[str, list[ServiceKey]](list)
        for key in keys:
            of_service[key.account_id].append(key)
        for account in accounts:
            self._revocations.set_account(account.id, _state(account))
            if account.kind == "service":
                self._keys.set_service(account, of_service[account.id])

    def _take_in(self, change: Change) -> None:
        if change.kind == "keys":
            self._other_keys = True
        elif change.kind == "outsider":
            self._revocations.end_outsider(change.name, change.made_at, change.expires_at)
        elif change.kind != "account":
            self._revocations.end(change.kind, change.name, change.code, change.expires_at)

    async def _watch(self) -> None:
        next_tidy = self._clock() + _TIDY_SECONDS
        news = healthy = True
        while True:
            await asyncio.sleep(self._interval)
            try:
                # News that could not be read are news the next time, too.
                news = await self._store.has_news() or news
                if news:
                    await self.catch_up()
                    await self._take_in_keys()
                    news = False
                if self._clock() > next_tidy:
                    next_tidy = self._clock() + _TIDY_SECONDS
                    await self._tidy()
            except Exception as error:
                # Whatever it is, a full disk or a bug in what is told, it must not end the watch: a disabled user would
                # stay. Said once, not at every look.
                if healthy:
                    _log.error(
                        "changes of identities cannot be read (%s); trying again every %g s",
                        error.__cause__ or error,
                        self._interval,
                        exc_info=not isinstance(error, HubError),
                    )
                healthy = False
            else:
                healthy = True

    async def _tidy(self) -> None:
        """Forget what is past: sessions that ended by themselves, and changes that no token can still meet."""
        now = self._clock()
        async with self._store.write() as db:
            await db.execute(delete(LoginSession).where(LoginSession.expires_at <= now))
            await db.execute(delete(Change).where(Change.expires_at <= now))
            # Whose lives are counted by the database's clock; an hour is more than ours can differ by.
            await db.execute(delete(WaitingTicket).where(WaitingTicket.ends_at <= now - 3600))
        self._revocations.forget(now)


def _state(account: Account) -> AccountState:
    return AccountState(account.version, account.disabled, account.revoked_at)
