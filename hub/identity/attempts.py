"""Limits of attempts to get in: guessing is made slow, whoever knows the password still comes in.

Only failures count against anybody, in three ways: of one account from one address; of one account from all addresses
together; of one address, whatever the accounts. An address from which somebody came into an account lately is *known*
for that account. There only the first of the three counts, and a right password is let in while the others are used
up. So a crowd of guessers closes an account to strangers for a while, and neither to those who are logged in (they
refresh) nor to those who log in from where they were before; and a neighbour who guesses, behind the same address, can
use up the address and not the accounts that are at home there. How often one account may come in *rightly* is bounded
apart, so that a program that logs in in a loop is told, and no guesser can spend that.

An unknown name is counted like a known one, and a refusal says nothing about which it was. (Who shares an address with
somebody can tell by its slowness that a wrong password was looked at where for others it no longer is.)

Memory is bounded, whatever is tried: see ``Buckets``. To have one account's failures forgotten takes failures with
65,536 other pairs of account and address, each of which costs the work of a password; that is longer than the bucket
needs to fill by itself. Knows limits and errors.
"""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hub.errors import HubError
from hub.limits import MAX_KEYS, Buckets, Rate, network

log = logging.getLogger(__name__)

_FAILURES = frozenset({"credentials_invalid", "refresh_invalid", "refresh_reused"})
"""What counts. A disabled user who knows the password did not guess, and an overloaded hub has judged nothing."""
_BURST = Rate(1, 60)
"""How often one who is refused again and again is told of in the log."""


@dataclass(frozen=True, slots=True)
class AttemptLimits:
    """See ``hub.settings``: failures of an account from one address, of it from all others, of an address; successes of
    an account."""

    failures: Rate
    failures_account: Rate
    failures_address: Rate
    successes: Rate


class Attempts:
    """Counts attempts, and refuses those that are too many with ``too_many_attempts``.

    ``refused`` is told of each that ends in a refusal, whoever's: account, address, code.
    """

    def __init__(
        self,
        limits: AttemptLimits,
        *,
        refused: Callable[[str, str, str], None] = lambda account, address, code: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._refused = refused
        self._pairs: Buckets[tuple[str, str]] = Buckets(limits.failures, clock=clock)
        self._accounts: Buckets[str] = Buckets(limits.failures_account, clock=clock)
        self._addresses: Buckets[str] = Buckets(limits.failures_address, clock=clock)
        self._successes: Buckets[str] = Buckets(limits.successes, clock=clock)
        self._told: Buckets[tuple[str, str]] = Buckets(_BURST, max_keys=1024, clock=clock)
        # The pairs of account and network that came in, the one longest ago first.
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    @contextmanager
    def of(self, account: str, address: str) -> Iterator[None]:
        """Around one attempt: refuses it, or lets it be made and counts how it ends.

        ``account`` is what the caller claims (``user:alice``), whether it exists or not. Raises ``too_many_attempts``
        with ``retry_after``, in whole seconds.
        """
        try:
            with self._counted(account, address):
                yield
        except HubError as error:
            self._refused(account, address, error.code)
            raise

    @contextmanager
    def _counted(self, account: str, address: str) -> Iterator[None]:
        place = network(address)
        pair = (account, place)
        # Taken beforehand and given back, so that many at the same moment are not more than many one after the other.
        wait = self._successes.wait(account) or self._pairs.take(pair)
        if wait:
            raise self._refusal(pair, wait)
        of_account, of_address = self._accounts.wait(account), self._addresses.wait(place)
        wait = max(of_account, of_address)
        used_up = (account, "") if of_account >= of_address else ("", place)
        if wait and pair not in self._known:
            self._pairs.give_back(pair)
            raise self._refusal(used_up, wait)
        try:
            yield
        except HubError as error:
            if error.code not in _FAILURES:
                self._pairs.give_back(pair)
                raise
            self._addresses.charge(place)
            if pair not in self._known:
                self._accounts.charge(account)
            elif wait:
                # Another answer than a stranger gets would say that this account is at home here.
                raise self._refusal(used_up, wait) from None
            raise
        except BaseException:
            self._pairs.give_back(pair)
            raise
        self._successes.charge(account)
        self._pairs.refill(pair)
        self.know(account, address)

    def know(self, account: str, address: str) -> None:
        """Somebody who is in the account is at this address."""
        pair = (account, network(address))
        self._known[pair] = None
        self._known.move_to_end(pair)
        if len(self._known) > MAX_KEYS:
            self._known.popitem(last=False)

    def _refusal(self, used_up: tuple[str, str], wait: float) -> HubError:
        seconds = math.ceil(wait)
        # By what is used up and not by who asks: a line for each of a thousand names tried would be a flood.
        if not self._told.take(used_up):
            account, place = used_up
            # Quoted and cut: it may hold anything, a password typed into the wrong field among it.
            on = f" on {account[:40]!r}" if account else ""
            log.warning("too many attempts%s%s: refused for %d s", on, f" from {place}" if place else "", seconds)
        return HubError("too_many_attempts", f"Too many attempts; try again in {seconds} s.", retry_after=seconds)
