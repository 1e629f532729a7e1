"""The API keys of services: what one looks like, and how one is made.

``hubk_<id>_<secret>``: the prefix lets people and leak scanners see what it is, the id lets whoever finds one end it
without having to know whose it is, and the secret is 256 random bits. All its characters are legal in a header, in a
URL and in a WebSocket subprotocol. Only its SHA-256 is kept: there is nothing to guess, so a slow hash, for which each
request would have to wait, would add nothing. Knows models, passwords, scope and errors.
"""

from __future__ import annotations

import re
import secrets

from hub.errors import HubError
from hub.identity.models import ServiceKey
from hub.identity.passwords import digest, random_secret
from hub.identity.scope import Scope

PREFIX = "hubk_"
_KEY = re.compile(PREFIX + r"([0-9a-f]{12})_[A-Za-z0-9_-]{43}")


def make(
    service_id: str, *, name: str, scope: Scope, created_at: float, expires_at: float | None
) -> tuple[ServiceKey, str]:
    """A new key, and the text that is shown once. Times are Unix seconds; without an end it lives until revoked."""
    key_id = secrets.token_hex(6)
    text = random_secret(f"{PREFIX}{key_id}_")
    key = ServiceKey(
        id=key_id,
        account_id=service_id,
        secret_hash=digest(text),
        name=name,
        subscribe=None if scope.subscribe is None else list(scope.subscribe),
        publish=None if scope.publish is None else list(scope.publish),
        admin=scope.admin,
        created_at=created_at,
        expires_at=expires_at,
        last_used_at=None,
    )
    return key, text


def is_meant(text: str) -> bool:
    """Whether this is meant to be an API key, and not a token."""
    return text.startswith(PREFIX)


def id_of(text: str) -> str:
    """The id in a key, which is no secret. Raises ``token_malformed``."""
    found = _KEY.fullmatch(text)
    if found is None:
        raise HubError("token_malformed", "The API key is not whole: a part is missing, or there is more than it.")
    return found[1]


def scope_of(key: ServiceKey) -> Scope:
    """What bounds the key."""
    return Scope(
        None if key.subscribe is None else tuple(key.subscribe),
        None if key.publish is None else tuple(key.publish),
        key.admin,
    )
