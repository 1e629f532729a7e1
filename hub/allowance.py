"""How much a principal may publish: events and bytes, each at a rate, in bounded memory.

Users are counted apart from services and administrators, who mostly are backends: see ``hub.settings``. Whoever is
over a rate is refused as a whole, and told when to come back; nothing is delayed.

For each publish, hence without ``Buckets``: a known principal costs a look at the clock and one into a dictionary,
under a microsecond, and nothing where there is no limit. Belongs to one thread, does no I/O. Knows model, limits
and errors.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

from hub.errors import HubError
from hub.limits import MAX_KEYS, Rate
from hub.model import Principal

_LOOKS = 8
"""Accounts that whoever is new looks at, to find one that can be forgotten."""


class PublishRates(NamedTuple):
    """Of one principal: events, and bytes of their JSON as it is sent to receivers."""

    events: Rate
    bytes: Rate


UNLIMITED = PublishRates(Rate(0, 1), Rate(0, 1))


class Account:
    """What one principal has published lately: when its two buckets are full again (see ``hub.limits``)."""

    __slots__ = ("_byte", "bytes_full_at", "events_full_at")

    def __init__(self, byte: float, now: float) -> None:
        self._byte = byte
        self.events_full_at = self.bytes_full_at = now

    def charge(self, size: int) -> None:
        """So many bytes, once they are known, right after the ``take`` of their events."""
        self.bytes_full_at += size * self._byte


class Allowance:
    """Counts what is published, and refuses what is too much with ``rate_limited``.

    Bytes are known only once an event is encoded. So they are charged afterwards, and who owes some is refused the next
    time: they may be over by one request.
    """

    def __init__(
        self,
        users: PublishRates,
        others: PublishRates,
        *,
        max_accounts: int = MAX_KEYS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``others``: services and administrators. ``max_accounts``: of each kind, those that are remembered; over
        that, an old one is forgotten, one that owes nothing if such is found soon."""
        self._users = _Accounts(users, max_accounts, clock) if any(users) else None
        # Apart, as a service may have an administrator's name.
        self._services = _Accounts(others, max_accounts, clock) if any(others) else None
        self._administrators = _Accounts(others, max_accounts, clock) if any(others) else None

    def take(self, publisher: Principal, events: int) -> Account | None:
        """Before the work of publishing so many; raises ``rate_limited`` with ``retry_after``, in whole seconds.

        The account to charge the bytes to; None if nobody counts.
        """
        if publisher.kind == "service":
            accounts = self._services
        else:
            accounts = self._administrators if publisher.admin else self._users
        return None if accounts is None else accounts.take(publisher.subject, events)


class _Accounts:
    """Those of one kind of principal, the one that was opened or looked at longest ago first."""

    def __init__(self, rates: PublishRates, most: int, clock: Callable[[], float]) -> None:
        self._rates = rates
        self._event, self._byte = rates.events.each, rates.bytes.each
        self._most = most
        self._clock = clock
        self._accounts: dict[str, Account] = {}

    def take(self, subject: str, events: int) -> Account:
        now = self._clock()
        account = self._accounts.get(subject)
        if account is None:
            account = self._open(subject, now)
        rates = self._rates
        if account.bytes_full_at < now:
            account.bytes_full_at = now
        if account.events_full_at < now:
            account.events_full_at = now
        # A bucket holds as much as comes in its seconds: one that is full later than in those is empty, or owes some.
        elif account.events_full_at - now + events * self._event > rates.events.seconds:
            wait = rates.events.wait(account.events_full_at, events, now)
            if wait:
                raise _refusal(wait)
        if account.bytes_full_at - now > rates.bytes.seconds:
            raise _refusal(account.bytes_full_at - now - rates.bytes.seconds)
        account.events_full_at += events * self._event
        return account

    def _open(self, subject: str, now: float) -> Account:
        accounts = self._accounts
        for _ in range(_LOOKS):
            oldest = next(iter(accounts), None)
            if oldest is None:
                break
            account = accounts.pop(oldest)
            if max(account.events_full_at, account.bytes_full_at) > now:
                accounts[oldest] = account
        if len(accounts) >= self._most:
            del accounts[next(iter(accounts))]
        opened = accounts[subject] = Account(self._byte, now)
        return opened


def _refusal(wait: float) -> HubError:
    seconds = math.ceil(wait)
    return HubError("rate_limited", f"You publish too much; try again in {seconds} s.", retry_after=seconds)
