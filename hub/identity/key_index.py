"""The API keys of all services, in memory: a key is admitted by one look-up, as a token is. Kept true by the feed.

It is found by its id and compared by its hash, in constant time. Knows api_keys, rights, passwords, verified, models
and errors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hub import tenancy
from hub.errors import HubError
from hub.identity import api_keys
from hub.identity.models import Account, ServiceKey
from hub.identity.passwords import digest_matches
from hub.identity.rights import grants_of, topics_of
from hub.identity.verified import Verified


@dataclass(frozen=True, slots=True)
class _Entry:
    hash: str
    principal: Verified
    disabled: bool


class KeyIndex:
    """Finds out whose a key is. ``used``: when each was last used (Unix seconds), for whoever writes that down."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._by_service: dict[str, tuple[str, ...]] = {}
        self.used: dict[str, float] = {}

    def __contains__(self, key_id: str) -> bool:
        return key_id in self._entries

    def set_service(self, account: Account, keys: Sequence[ServiceKey]) -> None:
        """What a service is like now, and all the keys it has."""
        before = {key_id: self._entries.pop(key_id) for key_id in self._by_service.get(account.id, ())}
        self._by_service[account.id] = tuple(key.id for key in keys)
        for key in keys:
            principal, known = principal_of(account, key), before.get(key.id)
            if known is not None and known.principal == principal:
                principal = known.principal  # The very same, so that its connections see that nothing changed.
            self._entries[key.id] = _Entry(key.secret_hash, principal, account.disabled)

    def tenant_of(self, text: str) -> str:
        """Whose the key says it is; the default tenant of what is none that is known. Nothing is checked."""
        try:
            entry = self._entries.get(api_keys.id_of(text))
        except HubError:
            entry = None
        return tenancy.DEFAULT if entry is None else entry.principal.tenant

    def verify(self, text: str, now: float) -> Verified:
        """Who an API key speaks for at ``now`` (Unix seconds).

        Raises ``token_malformed``, ``key_unknown``, ``key_expired`` and ``user_disabled``.
        """
        key_id = api_keys.id_of(text)
        entry = self._entries.get(key_id)
        if entry is None or not digest_matches(entry.hash, text):
            raise HubError("key_unknown")
        if entry.principal.expires_at <= now:
            raise HubError("key_expired")
        self.used[key_id] = now
        return self._living(key_id)

    def review(self, principal: Verified) -> Verified:
        """What has become of somebody who came with a key, or with a token that was got with one.

        Raises ``key_unknown`` and ``user_disabled`` of a key, ``token_revoked`` of a token whose key is gone.
        """
        if principal.is_key:
            return self._living(principal.service_key)
        if principal.service_key and principal.service_key not in self._entries:
            raise HubError("token_revoked", "The API key with which this token was got was revoked.")
        return principal

    def _living(self, key_id: str) -> Verified:
        entry = self._entries.get(key_id)
        if entry is None:
            raise HubError("key_unknown")
        if entry.disabled:
            raise HubError("user_disabled")
        return entry.principal


def principal_of(account: Account, key: ServiceKey) -> Verified:
    """The service as it is behind a key of its: with what both of them may."""
    scope = api_keys.scope_of(key)
    return Verified(
        subject=account.id,
        kind="service",
        session=tenancy.join(tenancy.tenant_of(account.id), f"key:{key.id}"),
        expires_at=math.inf if key.expires_at is None else key.expires_at,
        admin=account.admin and scope.admin,
        grants=scope.narrow(grants_of(account)),
        topics=scope.narrow_topics(topics_of(account)),
        version=None,
        issued_at=key.created_at,
        token_id="",
        service_key=key.id,
    )
