"""The settings of one external issuer: whose tokens the hub takes besides its own, and what they mean here.

They stand in ``hub.toml`` as ``[[issuers]]`` tables, or in ``HUB_ISSUERS`` as a JSON array of the same. Only what is
asymmetric is ever verified with a fetched key (RFC 8725, 3.1 and 3.2). docs/identity-providers.md shows examples.
Knows notation, tenancy, policy, model and errors.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator, model_validator

from hub import notation, tenancy
from hub.errors import HubError
from hub.model import topic
from hub.policy import check_pattern, expand

ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Algorithms that a public key verifies."""
_USUAL = ("RS256", "PS256", "ES256", "EdDSA")
_SECRET_ALGORITHM = "HS256"  # noqa: S105 - the name of an algorithm.

Value = str | int | bool
Mark = tuple[str | None, str]


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


_Texts = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
_Claim = Annotated[str, Field(min_length=1, max_length=200)]
"""The name of a claim, or, beginning with a slash, a JSON Pointer into the claims (RFC 6901)."""
_Conditions = dict[_Claim, Value]
"""Claims and the value that each must have, or contain if it is a list (or a text of words, as ``scope`` is)."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rule(_Part):
    """What the tokens that fit it may do; a token that fits several has the rights of all."""

    when: _Conditions = {}
    """Which tokens: those with all of these. Without any: every token of the issuer."""
    subscribe: tuple[str, ...] = ()
    """Patterns of topics that may be read. ``{sub}`` is the user's id in the hub."""
    publish: tuple[str, ...] = ()
    """Patterns of topics that may be published to."""
    topics: tuple[str, ...] = ()
    """Topics subscribed to without asking."""
    admin: bool = False
    """Whether they administer the hub. Nobody of another issuer does unless a rule says so."""
    kind: Literal["service"] | None = None
    """``service`` for the tokens of programs, which have no inbox."""

    @model_validator(mode="after")
    def _well_formed(self) -> Rule:
        try:
            for pattern in self.subscribe + self.publish:
                check_pattern(expand(pattern, "x"))
            for name in self.topics:
                topic(expand(name, "x"))
        except HubError as error:
            raise ValueError(error.detail) from error
        if (self.admin or self.kind) and not self.when:
            raise ValueError("admin and kind need a `when`: without one they would be everybody's")
        return self


class ClaimNames(_Part):
    """Which claims say what. A claim that a token lacks gives no right."""

    user: _Claim = "sub"
    """The user's id, before the prefix."""
    tenant: _Claim | None = None
    """The tenant whose user it is. A token that lacks it is refused, unless the issuer has a ``tenant``."""
    session: _Claim = "sid"
    """The login that the token came from, if the issuer tells: logging out ends all of its tokens."""
    subscribe: _Claim | None = None
    """Patterns of topics that may be read; a list, or a text with spaces between them."""
    publish: _Claim | None = None
    """Patterns of topics that may be published to."""
    topics: _Claim | None = None
    """Topics subscribed to without asking."""


class IssuerSettings(_Part):
    """One external issuer."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,32}$")
    """A short name of your choice. It stands in user ids, so it is for ever."""
    issuer: str = Field(min_length=1, max_length=512)
    """The ``iss`` of its tokens, to the letter (RFC 7519, 4.1.1)."""
    audience: _Texts = Field(min_length=1)
    """The ``aud`` that a token must have, or one of several: tokens made for other services are refused."""
    audience_claim: _Claim = "aud"
    """Where the audience stands; Cognito's access tokens have it in ``client_id``."""
    types: _Texts = ("at+jwt",)
    """What the token's ``typ`` header may be. Only ``at+jwt`` (RFC 9068) says that it is an access token and no ID
    token, but many issuers say ``JWT``. An empty text stands for tokens without ``typ``."""
    require: _Conditions = {}
    """Claims that a token must have, such as ``token_use = "access"``."""

    jwks_url: str | None = None
    """Where its public keys are. Without it they are found by OpenID Connect discovery at the issuer's address."""
    allow_http: bool = False
    """Fetch keys without TLS also from another machine. Whoever is between can then make tokens."""
    keys_file: Path | None = None
    """A file with its public keys (a JWK Set, or one key in PEM) instead of an address; read at the start."""
    secret: SecretStr | None = None
    """A shared secret (HS256, at least 32 bytes) instead of public keys."""
    algorithms: _Texts = ()
    """Signature algorithms that are accepted. Default: RS256, PS256, ES256, EdDSA; with a secret: HS256."""

    max_life: Annotated[float, BeforeValidator(notation.seconds), Field(ge=1, le=366 * 86400)] = 86400
    """A token that lives longer is refused: what was ended here has to be remembered for so long."""
    user_prefix: str | None = Field(None, pattern=r"^[A-Za-z0-9_.@+/=|~-]{0,64}$")
    """What stands before its users' ids. Default: the name and ``|``, so that they are never those of another issuer
    or of the hub. An empty text makes them the same as the hub's own users: whoever names users there, does here."""
    tenant: str | None = None
    """The tenant whose users all of its are; with ``claims.tenant``, of those whose tokens do not say. Default: none,
    the default tenant's, whose administrators are the hub's operators."""
    claims: ClaimNames = ClaimNames()
    """Which claims say who and what."""
    rules: tuple[Rule, ...] = ()
    """What its users may do, by what their tokens say."""

    @property
    def prefix(self) -> str:
        """What stands before its users' ids."""
        return f"{self.name}|" if self.user_prefix is None else self.user_prefix

    @property
    def accepted_algorithms(self) -> tuple[str, ...]:
        """The algorithms of its keys."""
        return self.algorithms or (_USUAL if self.secret is None else (_SECRET_ALGORITHM,))

    @property
    def reach(self) -> str | None:
        """The tenant whose users its tokens can name; None: of whatever tenant they say."""
        return None if self.claims.tenant is not None else self.tenant or tenancy.DEFAULT

    @field_validator("tenant")
    @classmethod
    def _is_tenant(cls, value: str | None) -> str | None:
        try:
            return None if value is None else tenancy.check(value)
        except HubError as error:
            raise ValueError(error.detail) from error

    @field_validator("audience")
    @classmethod
    def _named(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "" in value:
            raise ValueError("an audience cannot be empty")
        return value

    @field_validator("types")
    @classmethod
    def _media_types(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        # RFC 7515, 4.1.9: media types, so in any case, with or without "application/".
        return tuple(text.lower().removeprefix("application/") for text in value)

    @field_validator("secret")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().encode()) < 32:
            raise ValueError("a secret needs at least 32 bytes")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> IssuerSettings:
        given = [name for name in ("jwks_url", "keys_file", "secret") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other")
        if self.jwks_url is not None:
            notation.fetchable(self.jwks_url, allow_http=self.allow_http)
        elif not given:
            try:
                notation.fetchable(self.issuer, allow_http=self.allow_http)
            except ValueError as error:
                raise ValueError(
                    f"its keys cannot be looked up ({error}); or give jwks_url, keys_file or secret"
                ) from error
        allowed = ASYMMETRIC if self.secret is None else (_SECRET_ALGORITHM,)
        for algorithm in self.algorithms:
            if algorithm not in allowed:
                whose = "public keys verify" if self.secret is None else "a secret verifies"
                raise ValueError(f"{algorithm!r} is no algorithm that {whose}: {', '.join(allowed)}")
        return self


def read_many(value: Any) -> Any:
    """The array in an environment variable; what is not text is returned as it is. Raises ``ValueError``."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"not JSON ({error}); write an array of objects, or [[issuers]] in hub.toml") from None


def check_together(issuers: Iterable[IssuerSettings], own: str) -> None:
    """Raise ``ValueError`` if two have the same name or ``iss``, or one has the hub's."""
    names: set[str] = set()
    said = {own}
    for issuer in issuers:
        if issuer.name in names:
            raise ValueError(f"two issuers have the name {issuer.name!r}")
        if issuer.issuer in said:
            raise ValueError(f"the issuer {issuer.issuer!r} is there twice, or is the hub itself")
        names.add(issuer.name)
        said.add(issuer.issuer)


@dataclass(frozen=True, slots=True)
class Outsiders:
    """The users of other issuers, who have no account in the hub."""

    marks: tuple[Mark, ...] = ()
    """What their ids begin with, where that sets them apart, and in which tenant (None: in any)."""
    unmarked: tuple[str | None, ...] = ()
    """The tenants (None: any) where there are also some whose ids are as those of the hub's accounts."""
    max_life: float = 0.0
    """Longest life of a token of theirs, in seconds."""

    @classmethod
    def of(cls, issuers: Iterable[IssuerSettings]) -> Outsiders:
        """Those of these issuers."""
        issuers = tuple(issuers)
        return cls(
            tuple(dict.fromkeys((issuer.reach, issuer.prefix) for issuer in issuers if issuer.prefix)),
            tuple(dict.fromkeys(issuer.reach for issuer in issuers if not issuer.prefix)),
            max((issuer.max_life for issuer in issuers), default=0.0),
        )

    def own(self, user: str) -> bool:
        """Whether no account may have this id (in full)."""
        tenant, name = tenancy.split(user)
        return any(reach in (None, tenant) and name.startswith(prefix) for reach, prefix in self.marks)

    def may_have(self, user: str) -> bool:
        """Whether this may be the id (in full) of one of them."""
        return any(reach in (None, tenancy.tenant_of(user)) for reach in self.unmarked) or self.own(user)
