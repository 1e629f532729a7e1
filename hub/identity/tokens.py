"""The hub's own access tokens: signed JWTs (RFC 7519) of the type ``at+jwt`` (RFC 9068), minted and verified.

The algorithm is the key's own and never the token's choice (RFC 8725, 3.1). Every way in which a token can be wrong
has its name in the table of errors. Verifying is synchronous and needs no I/O, so that a socket or a request is
admitted in microseconds; whether a token was revoked is not asked here. Knows keyring, jws, times, policy, model and
errors.
"""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from time import time
from typing import Any, Literal

from jwt import PyJWS
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hub import tenancy
from hub.errors import HubError
from hub.identity.jws import Unverified
from hub.identity.keyring import Keyring
from hub.identity.keys import ALGORITHMS, VerifyingKey
from hub.identity.signature import is_signed
from hub.identity.times import Times
from hub.identity.verified import Verified
from hub.model import Grants, is_subject, topic
from hub.policy import check_pattern
from hub.wire import explain

TYPE = "at+jwt"


class _Grants(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    subscribe: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()


class _Claims(Times):
    """What a token must say, and may. Those of other issuers of the shared secret may leave out what has a default."""

    iss: str
    aud: str | list[str]
    sub: str
    tenant: str = Field("", max_length=tenancy.MAX)
    jti: str = Field(min_length=1, max_length=256)
    kind: Literal["user", "service"] = "user"
    sid: str = Field("", max_length=256)
    ver: int | None = None
    admin: bool = False
    grants: _Grants = _Grants()
    topics: tuple[str, ...] = ()
    key: str = Field("", max_length=64)


@dataclass(frozen=True, slots=True)
class Access:
    """A minted token and when it ends (Unix seconds)."""

    token: str
    expires_at: float


class Tokens:
    """Mints and verifies access tokens with the keys of ``keyring``, which may be replaced at any time."""

    def __init__(
        self, keyring: Keyring, *, issuer: str, audience: str, ttl: float, clock: Callable[[], float] = time
    ) -> None:
        self.keyring = keyring
        self._issuer = issuer
        self._audience = audience
        self._ttl = ttl
        self._clock = clock
        # All that a key may have. Each token is verified with the one of its key.
        self._jws = PyJWS(algorithms=list(ALGORITHMS), options={"enforce_minimum_key_length": True})

    def mint(
        self,
        subject: str,
        kind: Literal["user", "service"],
        *,
        session: str,
        version: int | None,
        admin: bool = False,
        grants: Grants | None = None,
        topics: tuple[str, ...] = (),
        service_key: str = "",
        until: float = math.inf,
    ) -> Access:
        """A token for an account; ``subject``, ``session`` and ``topics`` are in full.

        It lives at least ``ttl`` seconds and less than one more: times are whole seconds. ``version`` is the account's;
        None: it may have none here. ``service_key`` is the API key it is got with; it ends with that, and at ``until``
        (Unix seconds) at the latest.
        """
        now = self._clock()
        grants = grants or Grants()
        expires_at = min(math.ceil(now + self._ttl), until)
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": tenancy.local(subject),
            "kind": kind,
            "sid": tenancy.local(session),
            "jti": secrets.token_urlsafe(12),
            "ver": version,
            "iat": int(now),
            "nbf": int(now),
            "exp": expires_at,
            "admin": admin,
            "grants": {"subscribe": grants.subscribe, "publish": grants.publish},
            "topics": [tenancy.local(name) for name in topics],
        }
        if tenant := tenancy.tenant_of(subject):
            claims["tenant"] = tenant
        if service_key:
            claims["key"] = service_key
        payload = json.dumps(claims, separators=(",", ":")).encode()
        key = self.keyring.signing
        header = {"typ": TYPE, "kid": key.id}
        return Access(self._jws.encode(payload, key.private, key.algorithm, header), expires_at)

    def check(self, token: Unverified, now: float) -> Verified:
        """The token, if it is good at ``now`` (Unix seconds); raises the ``token_…`` error that says what is wrong."""
        said = token.claims.get("iss")
        if isinstance(said, str) and said != self._issuer:
            # Said first: what follows is about the hub's own key, which such a token has nothing to do with.
            raise HubError("token_issuer")
        key = self._key_of(token, now)
        claims = self._read_claims(token)
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        if self._audience not in audiences:
            raise HubError("token_audience")
        claims.check(now)
        return _verified(claims, key.id)

    def _key_of(self, token: Unverified, now: float) -> VerifyingKey:
        """The key that signed the token."""
        for key in self.keyring.candidates(token.kid, token.algorithm, now):
            if is_signed(token, key.algorithm, key.verifying):
                return key
        raise HubError("token_signature")

    def _read_claims(self, token: Unverified) -> _Claims:
        if token.type != TYPE:
            raise HubError("token_type", f"The token's header must say typ {TYPE!r}.")
        try:
            return _Claims.model_validate_json(token.payload)
        except ValidationError as problem:
            raise HubError("token_claims", explain(problem)) from None


def _verified(claims: _Claims, key_id: str) -> Verified:
    if not is_subject(claims.sub):
        raise HubError("token_claims", "sub: not the id of a user or a service.")
    try:
        grants = Grants(
            tuple(check_pattern(pattern) for pattern in claims.grants.subscribe),
            tuple(check_pattern(pattern) for pattern in claims.grants.publish),
        )
        tenant = tenancy.check(claims.tenant) if claims.tenant else tenancy.DEFAULT
        topics = tuple(topic(name, tenant) for name in claims.topics)
    except HubError as error:
        raise HubError("token_claims", error.detail) from None
    return Verified(
        subject=tenancy.join(tenant, claims.sub),
        kind=claims.kind,
        # A token that came from no login is a session of its own.
        session=tenancy.join(tenant, claims.sid or claims.jti),
        expires_at=claims.exp,
        admin=claims.admin,
        grants=grants,
        topics=topics,
        version=claims.ver,
        issued_at=claims.iat,
        token_id=tenancy.join(tenant, claims.jti),
        key_id=key_id,
        service_key=claims.key,
    )
