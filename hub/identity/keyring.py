"""The keys of a hub at one moment: the one that signs, and those that are still accepted. Pure.

A token names its key (``kid``). One that does not, as your own code may make it, is tried with each key of the
algorithm that it names: the algorithm is then still the key's own and pinned (RFC 8725, 3.1). Knows keys and errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hub.errors import HubError
from hub.identity.keys import SigningKey, VerifyingKey


@dataclass(frozen=True, slots=True)
class Accepted:
    """A key that signs no more and is accepted until then (Unix seconds; None: as long as it is configured)."""

    key: VerifyingKey
    until: float | None = None

    def is_over(self, now: float) -> bool:
        """Whether every token that it signed has ended."""
        return self.until is not None and self.until <= now


@dataclass(frozen=True, slots=True)
class Keyring:
    """What signs and what verifies. ``retired``: ids of keys that are not to be trusted, whatever they signed."""

    signing: SigningKey
    previous: tuple[Accepted, ...] = ()
    retired: frozenset[str] = frozenset()

    def candidates(self, kid: str | None, algorithm: str, now: float) -> Sequence[VerifyingKey]:
        """The keys, at least one, that may have signed a token with this header. ``now``: Unix seconds.

        Raises ``token_revoked`` and ``token_expired`` for keys that are out of use, ``token_signature`` for a key that
        is unknown and ``token_algorithm`` for an algorithm that is not the key's.
        """
        if kid in self.retired:
            raise HubError("token_revoked", "The key that signed this token was retired; get a fresh one.")
        if any(each.key.id == kid and each.is_over(now) for each in self.previous):
            raise HubError("token_expired", "The key that signed this token is out of use; get a fresh one.")
        accepted = self._accepted(now)
        named = [key for key in accepted if kid is None or key.id == kid]
        fitting = [key for key in named if key.algorithm == algorithm]
        if fitting:
            return fitting
        algorithms = sorted({key.algorithm for key in named or accepted})
        if algorithm not in algorithms:
            raise HubError("token_algorithm", f"The token is not signed with {' or '.join(algorithms)}.")
        raise HubError("token_signature", "The token names a key that this hub does not have.")

    def jwks(self, now: float) -> dict[str, list[dict[str, str]]]:
        """What ``/.well-known/jwks.json`` says (RFC 7517, section 5): the public keys, none for a shared secret."""
        return {
            "keys": [
                {**key.public, "kid": key.id, "alg": key.algorithm, "use": "sig"}
                for key in self._accepted(now)
                if key.public is not None
            ]
        }

    def _accepted(self, now: float) -> list[VerifyingKey]:
        return [self.signing, *(each.key for each in self.previous if not each.is_over(now))]
