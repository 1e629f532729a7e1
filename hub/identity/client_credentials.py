"""OAuth2 client credentials (RFC 6749, 4.4): a service gives one of its keys for an access token.

The token may do what the key may, and ends with the key. The rights are read together with the version that is minted
into the token, so that no token with the old rights outlives a change. Knows store, models, api_keys, key_index,
rights, tokens and errors.
"""

from __future__ import annotations

from hub import tenancy
from hub.database.store import Store
from hub.errors import HubError
from hub.identity import api_keys
from hub.identity.key_index import principal_of
from hub.identity.models import Account, ServiceKey
from hub.identity.passwords import digest_matches, random_secret
from hub.identity.rights import refuse_too_many
from hub.identity.tokens import Access, Tokens
from hub.identity.verified import Verified


async def exchange(
    store: Store, tokens: Tokens, service_id: str, secret: str, *, now: float
) -> tuple[Verified, Access]:
    """The key as a principal, and the token. ``now`` is in Unix seconds.

    Raises ``credentials_invalid``, ``user_disabled``, and ``request_invalid`` if its rights have no room in a token.
    """
    key_id = _id_of(secret)
    async with store.read() as db:
        stored = await db.get(ServiceKey, key_id)
        account = None if stored is None else await db.get(Account, stored.account_id)
    if account is None or stored is None or tenancy.local(account.id) != service_id:
        raise _wrong()
    if not digest_matches(stored.secret_hash, secret):
        raise _wrong()
    key = principal_of(account, stored)
    if key.expires_at <= now:
        raise HubError("credentials_invalid", "This secret has expired.")
    if account.disabled:
        raise HubError("user_disabled")
    refuse_too_many(key.grants, key.topics)
    access = tokens.mint(
        account.id,
        account.kind,
        session=random_secret("", 12),
        version=account.version,
        admin=key.admin,
        grants=key.grants,
        topics=key.topics,
        service_key=stored.id,
        until=key.expires_at,
    )
    return key, access


def _id_of(secret: str) -> str:
    try:
        return api_keys.id_of(secret)
    except HubError:
        raise _wrong() from None


def _wrong() -> HubError:
    return HubError("credentials_invalid", "Wrong service id or secret.")
