"""The issuers that the hub was told to trust, and how a token of theirs is verified (RFC 8725, RFC 9068, section 4).

Several at once, each with its own keys. Which one a token is of stands in the token; all that follows is decided by
that issuer's settings. Verifying is synchronous; where keys have to be fetched first it raises ``NotYet``. Knows jws,
keysource, claims, times, verified, wire's words and errors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import ValidationError

from hub.errors import HubError
from hub.identity.claims import Meaning
from hub.identity.fetching import Fetcher
from hub.identity.jws import Unverified
from hub.identity.keysource import FetchedKeys, FixedKeys, KeySource
from hub.identity.signature import is_signed
from hub.identity.times import Times
from hub.identity.verified import Verified
from hub.issuer_settings import IssuerSettings, Mark, Outsiders
from hub.wire import explain

_ID_TOKEN_ONLY = ("at_hash", "c_hash", "s_hash")
"""Claims that only ID tokens have (OpenID Connect Core 1.0, 3.3.2.11; FAPI)."""


class Issuer:
    """One issuer: verifies its tokens."""

    def __init__(self, settings: IssuerSettings, keys: KeySource, reserved: Sequence[Mark]) -> None:
        self.settings = settings
        self.keys = keys
        self._meaning = Meaning(settings, reserved)
        self._algorithms = settings.accepted_algorithms

    def check(self, token: Unverified, now: float) -> Verified:
        """The token, if it is good at ``now`` (Unix seconds); raises the ``token_…`` error that says what is wrong.

        ``NotYet`` if that cannot be said before keys were fetched.
        """
        if token.algorithm not in self._algorithms:
            raise HubError("token_algorithm", f"The token is not signed with {' or '.join(self._algorithms)}.")
        key = self.keys.find(token.kid, token.algorithm)
        # One algorithm, which the key was found for: what the header says is no choice any more.
        if not is_signed(token, token.algorithm, key):
            raise HubError("token_signature")
        if (token.type or "") not in self.settings.types or any(name in token.claims for name in _ID_TOKEN_ONLY):
            accepted = " or ".join(repr(name) for name in self.settings.types)
            raise HubError("token_type", f"Not an access token: {accepted} is accepted as the header's typ.")
        try:
            times = Times.model_validate_json(token.payload)
        except ValidationError as problem:
            raise HubError("token_claims", explain(problem)) from None
        self._meaning.check(token.claims)
        times.check(now)
        if times.exp - times.iat > self.settings.max_life:
            raise HubError("token_claims", f"exp: the token lives longer than {self.settings.max_life:g} s.")
        return self._meaning.verified(token, times)


class Issuers:
    """All external issuers of a hub. ``changed`` is told when tokens that were good have to be verified anew."""

    def __init__(self, settings: Sequence[IssuerSettings], *, changed: Callable[[], None]) -> None:
        fetcher = Fetcher()
        reserved = Outsiders.of(settings).marks
        self._by_name = {
            issuer.issuer: Issuer(
                issuer,
                FixedKeys(issuer)
                if issuer.secret is not None or issuer.keys_file is not None
                else FetchedKeys(issuer, fetcher, changed=changed),
                reserved,
            )
            for issuer in settings
        }

    async def start(self) -> None:
        """Have the keys that are at hand, begin to fetch the others. Raises ``SettingsError``."""
        for issuer in self._by_name.values():
            await issuer.keys.start()

    async def stop(self) -> None:
        """Fetch no more. Safe to call twice."""
        for issuer in self._by_name.values():
            await issuer.keys.stop()

    def of(self, token: Unverified) -> Issuer | None:
        """The issuer that the token says it is from, if it is one of these."""
        said = token.claims.get("iss")
        return self._by_name.get(said) if isinstance(said, str) else None
