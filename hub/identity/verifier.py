"""Who vouches for a token: the hub itself, or an issuer that it was told to trust. The one door for all tokens.

A token that was found good is remembered until it ends, so that the next requests with it cost one look-up. Whether it
was revoked is not asked here. Knows jws, tokens, issuers, verified and errors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import time

from hub.identity import jws
from hub.identity.issuers import Issuers
from hub.identity.tokens import Tokens
from hub.identity.verified import Memory, Verified
from hub.issuer_settings import IssuerSettings


class Verifier:
    """Verifies tokens. ``start`` it, ``stop`` it."""

    def __init__(
        self, own: Tokens, others: Sequence[IssuerSettings] = (), *, clock: Callable[[], float] = time
    ) -> None:
        self._own = own
        self._memory = Memory()
        self._issuers = Issuers(others, changed=self._memory.clear)
        self._clock = clock

    async def start(self) -> None:
        """Have the keys of other issuers, or begin to get them. Raises ``SettingsError``."""
        await self._issuers.start()

    async def stop(self) -> None:
        """Fetch no more keys. Safe to call twice."""
        await self._issuers.stop()

    def verify(self, token: str) -> Verified:
        """Check a token. No I/O.

        Raises the ``token_…`` error that names what is wrong with it; ``NotYet`` if its issuer's keys have to be
        fetched first.
        """
        now = self._clock()
        known = self._memory.recall(token, now)
        if known is None:
            read = jws.read(token)
            issuer = self._issuers.of(read)
            known = self._own.check(read, now) if issuer is None else issuer.check(read, now)
            self._memory.keep(token, known)
        return known
