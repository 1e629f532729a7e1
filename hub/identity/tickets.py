"""Tickets for the stream's URL: opaque, good once, for seconds, so that no long-lived token need stand in a URL.

URLs end up in the logs of proxies and in the histories of browsers. A ticket that is found there is spent, or over.
Behind it stands the access token that asked for it, and redeeming checks that again: what has ended the token meanwhile
(a logout, its expiry, a disabled user) has ended the ticket. Only hashes of tickets are kept. Where several hubs share
a database they share their tickets, too. Knows shared_tickets, passwords, limits and errors.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from hub.errors import HubError, NotYet
from hub.identity.passwords import digest, random_secret
from hub.identity.shared_tickets import MAX_OUTSTANDING, SharedTickets
from hub.limits import Buckets, Rate
from hub.model import Principal

LIFE = 30.0
"""Seconds from issue to redemption: enough for a slow network, too short for whoever reads a log."""
_MAX_ALL = 100_000
_PREFIX = "hubt_"
_TICKET = re.compile(r"hubt_[A-Za-z0-9_-]{43}")
_MISSES = Rate(400, 1)
"""Tickets that are none and are looked for in the shared database all the same: half as many a second (each is asked
for twice), whoever asks."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket, and how many seconds it is good for."""

    value: str = field(repr=False)
    expires_in: float


class TicketStore(Protocol):
    """Where tickets wait in this process."""

    def put(self, name: str, owner: str, token: str, life: float) -> None:
        """Keep the token under that name for ``life`` seconds.

        Raises ``too_many_attempts`` if the owner has ``MAX_OUTSTANDING`` there, ``overloaded`` if the store is full.
        """
        ...

    def take(self, name: str) -> str | None:
        """The token under that name, to one caller, whoever races for it; None to all others, and after its life."""
        ...


class Tickets:
    """Issues and redeems. ``authenticate`` checks an access token, revocation included; ``clock``: Unix seconds."""

    def __init__(
        self,
        authenticate: Callable[[str], Principal],
        store: TicketStore | None = None,
        *,
        shared: SharedTickets | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._authenticate = authenticate
        self._store = MemoryStore() if store is None else store
        self._shared = shared
        self._misses: Buckets[None] = Buckets(_MISSES)
        self._clock = clock

    def issue(self, token: str) -> Ticket:
        """A ticket that stands for an access token, good at this hub; it lives no longer than that.

        Raises what ``authenticate`` raises, ``too_many_attempts``, ``overloaded``.
        """
        value, owner, life = self._made(token)
        self._store.put(digest(value), owner, token, life)
        return Ticket(value, life)

    async def issue_for_all(self, token: str) -> Ticket:
        """The same, good at every hub of the database. Raises ``database_unavailable``, too."""
        if self._shared is None:
            return self.issue(token)
        value, owner, life = self._made(token)
        await self._shared.put(value, owner, token, life)
        return Ticket(value, life)

    def _made(self, token: str) -> tuple[str, str, float]:
        """A new ticket's value, whose it is, and its life."""
        principal = self._authenticate(token)
        return random_secret(_PREFIX), principal.source, min(LIFE, principal.expires_at - self._clock())

    def redeem(self, ticket: str) -> Principal:
        """Who the ticket speaks for; it is spent by this.

        Raises ``ticket_invalid``, and what ``authenticate`` raises of its token; ``NotYet`` if it has to be looked for
        in the database that hubs share.
        """
        token = self._store.take(digest(ticket))
        if token is not None:
            return self._authenticate(token)
        if self._shared is None or not _TICKET.fullmatch(ticket) or self._misses.take(None):
            raise HubError("ticket_invalid")
        raise NotYet("ticket_invalid", ready=partial(self._fetch, ticket))

    async def _fetch(self, ticket: str) -> None:
        """Bring a ticket here for whoever waits for it, to be redeemed at once; raises nothing."""
        assert self._shared is not None
        with contextlib.suppress(HubError):
            taken = await self._shared.take(ticket)
            if taken is not None:
                self._misses.give_back(None)
                name = digest(ticket)
                self._store.put(name, name, taken.token, taken.life)


class MemoryStore:
    """Tickets of one process. Takings are atomic since they wait for nothing: one event loop, one taker at a time."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Name → owner, token, end; the one put first is first.
        self._waiting: OrderedDict[str, tuple[str, str, float]] = OrderedDict()
        self._owners: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, name: str, owner: str, token: str, life: float) -> None:
        """See ``TicketStore``."""
        now = self._clock()
        self._forget(now)
        if self._owners[owner] >= MAX_OUTSTANDING:
            raise HubError(
                "too_many_attempts",
                f"You have {MAX_OUTSTANDING} tickets that nobody used; they end within {LIFE:g} s.",
                retry_after=int(LIFE),
            )
        if len(self._waiting) >= _MAX_ALL:
            raise HubError("overloaded", "Too many tickets wait to be used.")
        self._waiting[name] = (owner, token, now + life)
        self._owners[owner] += 1

    def take(self, name: str) -> str | None:
        """See ``TicketStore``."""
        found = self._waiting.pop(name, None)
        if found is None:
            return None
        owner, token, ends = found
        self._release(owner)
        return token if ends > self._clock() else None

    def _forget(self, now: float) -> None:
        # Lives are equal but for those that their token cuts short, which wait here for those before them.
        while self._waiting:
            owner, _, ends = next(iter(self._waiting.values()))
            if ends > now:
                return
            self._waiting.popitem(last=False)
            self._release(owner)

    def _release(self, owner: str) -> None:
        self._owners[owner] -= 1
        if not self._owners[owner]:
            del self._owners[owner]
