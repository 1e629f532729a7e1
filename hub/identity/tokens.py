"""Access tokens: signed JWTs (RFC 7519) of the type ``at+jwt`` (RFC 9068), minted and verified.

The algorithm is the key's own and never the token's choice (RFC 8725, 3.1). Every way in which a token can be wrong
has its name in the table of errors. Verifying is synchronous and needs no I/O, so that a socket or a request is
admitted in microseconds; whether a token was revoked is not asked here. Knows keys, policy, model and errors.
"""

from __future__ import annotations

import json
import math
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import time
from typing import Annotated, Any, Literal

from jwt import PyJWS
from jwt.exceptions import InvalidAlgorithmError, InvalidSignatureError, PyJWTError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hub.errors import HubError
from hub.identity.keys import SigningKey
from hub.model import Grants, Principal, is_subject, topic
from hub.policy import check_pattern
from hub.wire import explain

MAX_LENGTH = 4096
"""Longest token, in characters: it must fit into a request line with room to spare."""
TYPE = "at+jwt"
LEEWAY = 30.0
"""Seconds by which another machine's clock may be ahead of ours when it says from when on a token holds. The end of
a token has no leeway: it bounds how long its connections live."""
_CACHE_SIZE = 4096

_Time = Annotated[float, Field(ge=0, lt=1e11, allow_inf_nan=False)]


class _Grants(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    subscribe: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()


class _Claims(BaseModel):
    """What a token must say, and may. Those of other issuers of the shared secret may leave out what has a default."""

    model_config = ConfigDict(strict=True, extra="ignore")

    iss: str
    aud: str | list[str]
    sub: str
    jti: str = Field(min_length=1, max_length=256)
    iat: _Time
    exp: _Time
    nbf: _Time = 0
    kind: Literal["user", "service"] = "user"
    sid: str = Field("", max_length=256)
    ver: int | None = None
    admin: bool = False
    grants: _Grants = _Grants()
    topics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified(Principal):
    """The principal of a good token, with what the revocation check needs besides.

    ``version`` is the account's at minting, None if the token was not minted by a hub; ``issued_at`` is its ``iat``,
    ``token_id`` its ``jti``.
    """

    version: int | None
    issued_at: float
    token_id: str


@dataclass(frozen=True, slots=True)
class Access:
    """A minted token and when it ends (Unix seconds)."""

    token: str
    expires_at: float


class Tokens:
    """Mints and verifies the access tokens of one key."""

    def __init__(
        self, key: SigningKey, *, issuer: str, audience: str, ttl: float, clock: Callable[[], float] = time
    ) -> None:
        self._key = key
        self._issuer = issuer
        self._audience = audience
        self._ttl = ttl
        self._clock = clock
        self._jws = PyJWS(algorithms=[key.algorithm], options={"enforce_minimum_key_length": True})
        self._cache: OrderedDict[str, Verified] = OrderedDict()

    def mint(
        self,
        subject: str,
        kind: Literal["user", "service"],
        *,
        session: str,
        version: int,
        admin: bool = False,
        grants: Grants | None = None,
        topics: tuple[str, ...] = (),
    ) -> Access:
        """A token for an account. It lives at least ``ttl`` seconds and less than one more: times are whole seconds."""
        now = self._clock()
        grants = grants or Grants()
        expires_at = math.ceil(now + self._ttl)
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": subject,
            "kind": kind,
            "sid": session,
            "jti": secrets.token_urlsafe(12),
            "ver": version,
            "iat": int(now),
            "nbf": int(now),
            "exp": expires_at,
            "admin": admin,
            "grants": {"subscribe": grants.subscribe, "publish": grants.publish},
            "topics": topics,
        }
        payload = json.dumps(claims, separators=(",", ":")).encode()
        header = {"typ": TYPE, "kid": self._key.id}
        return Access(self._jws.encode(payload, self._key.private, self._key.algorithm, header), expires_at)

    def verify(self, token: str) -> Verified:
        """Check a token; raises the ``token_…`` error that names what is wrong with it.

        A verified token is remembered until it ends, so that the next requests with it cost one look-up.
        """
        now = self._clock()
        known = self._cache.get(token)
        if known is None:
            known = self._verify(token, now)
            self._cache[token] = known
            if len(self._cache) > _CACHE_SIZE:
                self._cache.popitem(last=False)
        elif known.expires_at <= now:
            del self._cache[token]
            raise HubError("token_expired")
        else:
            self._cache.move_to_end(token)
        return known

    def _verify(self, token: str, now: float) -> Verified:
        if not token:
            raise HubError("token_missing")
        if len(token) > MAX_LENGTH:
            raise HubError("token_malformed", f"A token has at most {MAX_LENGTH} characters.")
        if not token.isascii():
            raise HubError("token_malformed")
        claims = self._read_claims(token)
        if claims.iss != self._issuer:
            raise HubError("token_issuer")
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        if self._audience not in audiences:
            raise HubError("token_audience")
        if max(claims.nbf, claims.iat) > now + LEEWAY:
            raise HubError("token_not_yet_valid")
        if claims.exp <= now:
            raise HubError("token_expired")
        return _verified(claims)

    def _read_claims(self, token: str) -> _Claims:
        try:
            signed = self._jws.decode_complete(token, self._key.verifying, [self._key.algorithm])
        except InvalidAlgorithmError:
            raise HubError("token_algorithm", f"The token is not signed with {self._key.algorithm}.") from None
        except InvalidSignatureError:
            raise HubError("token_signature") from None
        except PyJWTError:
            raise HubError("token_malformed") from None
        header = signed["header"]
        if header.get("kid", self._key.id) != self._key.id:
            raise HubError("token_signature", "The token names a key that this hub does not have.")
        kind = header.get("typ")
        # RFC 9068, section 4, and RFC 7515, 4.1.9: either spelling, in any case.
        if not isinstance(kind, str) or kind.lower().removeprefix("application/") != TYPE:
            raise HubError("token_type", f"The token's header must say typ {TYPE!r}.")
        try:
            return _Claims.model_validate_json(signed["payload"])
        except ValidationError as problem:
            raise HubError("token_claims", explain(problem)) from None


def _verified(claims: _Claims) -> Verified:
    if not is_subject(claims.sub):
        raise HubError("token_claims", "sub: not the id of a user or a service.")
    try:
        grants = Grants(
            tuple(check_pattern(pattern) for pattern in claims.grants.subscribe),
            tuple(check_pattern(pattern) for pattern in claims.grants.publish),
        )
        topics = tuple(topic(name) for name in claims.topics)
    except HubError as error:
        raise HubError("token_claims", error.detail) from None
    return Verified(
        subject=claims.sub,
        kind=claims.kind,
        # A token that came from no login is a session of its own.
        session=claims.sid or claims.jti,
        expires_at=claims.exp,
        admin=claims.admin,
        grants=grants,
        topics=topics,
        version=claims.ver,
        issued_at=claims.iat,
        token_id=claims.jti,
    )
