"""What the claims of another issuer's token mean here: which user, from which login, with which rights. Pure.

Nothing but what the settings name gives a right: a claim called ``admin`` or ``grants`` in such a token means nothing.
Ids of users, logins and tokens are kept apart from the hub's and from those of other issuers. Knows the settings of
issuers, times, verified, tenancy, policy, model and errors.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub import tenancy
from hub.errors import HubError
from hub.identity.jws import Unverified
from hub.identity.times import Times
from hub.identity.verified import Verified
from hub.issuer_settings import IssuerSettings, Mark, Rule
from hub.model import Grants, Topic, is_subject, topic
from hub.policy import check_pattern, expand

_ID = re.compile(r"[\x21-\x7e]{1,200}")
_MAX_RIGHTS = 200
"""Patterns and topics that one token may have; each publish and subscribe is held against all of them."""


def look_up(claims: Mapping[str, Any], name: str) -> Any:
    """The claim of that name, or what is at that JSON Pointer (RFC 6901); None if there is none."""
    if not name.startswith("/"):
        return claims.get(name)
    value: Any = claims
    for part in name[1:].split("/"):
        value = value.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(value, Mapping) else None
    return value


def fits(claims: Mapping[str, Any], conditions: Mapping[str, Any]) -> bool:
    """Whether every claim named has, or contains, its value."""
    return all(_has(look_up(claims, name), wanted) for name, wanted in conditions.items())


@dataclass(slots=True)
class _Rights:
    subscribe: list[str] = field(default_factory=list)
    publish: list[str] = field(default_factory=list)
    topics: list[str] = field(default_factory=list)
    admin: bool = False
    service: bool = False

    def add(self, rule: Rule, subject: str) -> None:
        self.subscribe += [expand(pattern, subject) for pattern in rule.subscribe]
        self.publish += [expand(pattern, subject) for pattern in rule.publish]
        self.topics += [expand(name, subject) for name in rule.topics]
        self.admin = self.admin or rule.admin
        self.service = self.service or rule.kind == "service"


class Meaning:
    """Reads the claims of one issuer. ``reserved``: what the ids of all issuers' users begin with."""

    def __init__(self, issuer: IssuerSettings, reserved: Collection[Mark]) -> None:
        self._issuer = issuer
        # With a shorter prefix than another issuer's, it could name that one's users.
        own = issuer.prefix
        self._foreign = tuple(mark for mark in reserved if mark[1] != own and mark[1].startswith(own))

    def check(self, claims: Mapping[str, Any]) -> None:
        """That the token is meant for the hub; raises ``token_audience`` and ``token_claims``."""
        said = look_up(claims, self._issuer.audience_claim)
        audiences = said if isinstance(said, list) else [said]
        if not any(isinstance(audience, str) and audience in self._issuer.audience for audience in audiences):
            raise HubError("token_audience")
        for name, wanted in self._issuer.require.items():
            if not _has(look_up(claims, name), wanted):
                raise HubError("token_claims", f"{name}: it must be {wanted!r}.")

    def verified(self, token: Unverified, times: Times) -> Verified:
        """Who the token speaks for; raises ``token_claims``."""
        claims, names = token.claims, self._issuer.claims
        tenant = self._tenant(claims)
        subject = self._subject(look_up(claims, names.user), tenant)
        rights = _Rights()
        for rule in self._issuer.rules:
            if fits(claims, rule.when):
                rights.add(rule, tenancy.local(subject))
        try:
            grants = Grants(
                _patterns([*rights.subscribe, *_words(claims, names.subscribe)]),
                _patterns([*rights.publish, *_words(claims, names.publish)]),
            )
            said = (*rights.topics, *_words(claims, names.topics))
            topics = tuple(dict.fromkeys(topic(name, tenant) for name in said))
        except HubError as error:
            raise HubError("token_claims", error.detail) from None
        if len(grants.subscribe) + len(grants.publish) + len(topics) > _MAX_RIGHTS:
            raise HubError(
                "token_claims", f"It grants more than {_MAX_RIGHTS} patterns and topics; use wider patterns."
            )
        return self._made(token, times, subject, rights, grants, topics)

    def _made(
        self,
        token: Unverified,
        times: Times,
        subject: str,
        rights: _Rights,
        grants: Grants,
        topics: tuple[Topic, ...],
    ) -> Verified:
        tenant = tenancy.tenant_of(subject)
        token_id = self._id(token.claims, "jti", tenant)
        login = self._id(token.claims, self._issuer.claims.session, tenant) or token_id
        # Of a token that has neither, all its copies are one login.
        digest = hashlib.sha256(token.token.encode()).hexdigest()
        login = login or tenancy.join(tenant, f"{self._issuer.name}|{digest}")
        return Verified(
            subject=subject,
            kind="service" if rights.service else "user",
            session=login,
            expires_at=times.exp,
            admin=rights.admin,
            grants=grants,
            topics=topics,
            version=None,
            issued_at=times.iat,
            token_id=token_id,
        )

    def _tenant(self, claims: Mapping[str, Any]) -> str:
        """Whose user it is. Nobody becomes the default tenant's by a claim, or by the lack of one."""
        name, fixed = self._issuer.claims.tenant, self._issuer.tenant
        said = None if name is None else look_up(claims, name)
        if said is None and (name is None or fixed is not None):
            return fixed or tenancy.DEFAULT
        try:
            return tenancy.check(said if isinstance(said, str) else "")
        except HubError:
            raise HubError("token_claims", f"{name}: not the name of a tenant.") from None

    def _subject(self, said: Any, tenant: str) -> str:
        name = self._issuer.claims.user
        if isinstance(said, int) and not isinstance(said, bool):
            said = str(said)
        subject = f"{self._issuer.prefix}{said}" if isinstance(said, str) and said else ""
        if not is_subject(subject):
            raise HubError(
                "token_claims",
                f"{name}: not a user's id here: with {self._issuer.prefix!r} before it, 1-128 characters of "
                "A-Z a-z 0-9 _ . @ + / = | ~ -.",
            )
        if any(reach in (None, tenant) and subject.startswith(prefix) for reach, prefix in self._foreign):
            raise HubError("token_claims", f"{name}: an id of another issuer's user.")
        return tenancy.join(tenant, subject)

    def _id(self, claims: Mapping[str, Any], name: str, tenant: str) -> str:
        said = look_up(claims, name)
        if said is None:
            return ""
        if not isinstance(said, str) or not _ID.fullmatch(said):
            raise HubError("token_claims", f"{name}: not an id of 1-200 printable ASCII characters.")
        return tenancy.join(tenant, f"{self._issuer.name}|{said}")


def _has(said: Any, wanted: Any) -> bool:
    if isinstance(said, list):
        return any(_same(item, wanted) for item in said)
    return _same(said, wanted) or (isinstance(said, str) and isinstance(wanted, str) and wanted in said.split())


def _same(said: Any, wanted: Any) -> bool:
    # To Python, True is 1.
    return type(said) is type(wanted) and bool(said == wanted)


def _patterns(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(check_pattern(pattern) for pattern in given))


def _words(claims: Mapping[str, Any], name: str | None) -> list[str]:
    said = None if name is None else look_up(claims, name)
    if said is None:
        return []
    words = said.split() if isinstance(said, str) else said
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise HubError("token_claims", f"{name}: neither a list of texts nor a text.")
    return words
