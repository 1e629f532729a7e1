"""A token that was found good, and the memory of such: verifying one again costs a look-up. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256

from hub.errors import HubError
from hub.model import Principal

_SIZE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified(Principal):
    """The principal of a good token, with what the revocation check needs besides.

    ``version`` is the account's at minting, None if the token was not minted by a hub; ``issued_at`` is its ``iat``,
    ``token_id`` its ``jti``, made distinct from those of other issuers; empty if it has none. ``key_id`` is the key of
    this hub that signed it; empty if another issuer did. ``service_key`` is the API key of a service that it was got
    with, if it was, or that it is.
    """

    version: int | None
    issued_at: float
    token_id: str
    key_id: str = ""
    service_key: str = ""

    @property
    def is_key(self) -> bool:
        """Whether this is an API key itself, and no token."""
        return bool(self.service_key) and not self.key_id


class Memory:
    """The good tokens seen last, each until it ends."""

    def __init__(self, size: int = _SIZE) -> None:
        self._size = size
        # By their digests, which are shorter, and good for nothing to whoever reads the memory.
        self._known: OrderedDict[bytes, Verified] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, token: str) -> bool:
        return _digest(token) in self._known

    def recall(self, token: str, now: float) -> Verified | None:
        """The token, if it is known; raises ``token_expired`` if it ended since (``now`` is in Unix seconds)."""
        name = _digest(token)
        known = self._known.get(name)
        if known is None:
            return None
        if known.expires_at <= now:
            del self._known[name]
            raise HubError("token_expired")
        self._known.move_to_end(name)
        return known

    def keep(self, token: str, verified: Verified) -> None:
        """Remember a token that was verified; the one not seen for longest makes room."""
        self._known[_digest(token)] = verified
        if len(self._known) > self._size:
            self._known.popitem(last=False)

    def clear(self) -> None:
        """Forget all, since what they were verified with changed."""
        self._known.clear()


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="replace")).digest()
