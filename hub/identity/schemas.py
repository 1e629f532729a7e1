"""What the identity routes read and write, as JSON; and how the OpenAPI document tells of it.

See docs/protocol.md, section 2. Bodies forbid unknown fields: a misspelt right must not be ignored.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hub import tenancy
from hub.identity.accounts import Update
from hub.identity.models import Account
from hub.identity.passwords import MAX_LENGTH, MIN_LENGTH
from hub.identity.verified import Verified
from hub.model import Grants, Principal
from hub.policy import automatic_topics

_Name = Annotated[str, Field(min_length=1, max_length=128)]
_NewPassword = Annotated[str, Field(min_length=MIN_LENGTH, max_length=MAX_LENGTH)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Form(BaseModel):
    # OAuth2 forms carry more than is needed here (scope, client_id); RFC 6749, 3.2: ignore what is not known.
    model_config = ConfigDict(extra="ignore")


class LoginBody(_Form):
    """A name and a password."""

    username: _Name
    password: str = Field(max_length=MAX_LENGTH, json_schema_extra={"format": "password"})
    tenant: str = Field(
        "", max_length=tenancy.MAX, pattern="^[a-z0-9-]*$", description="Whose user it is; empty: without a tenant."
    )
    grant_type: Literal["password"] = "password"


class RefreshBody(_Form):
    """A refresh token; it is spent by this."""

    refresh_token: str = Field(min_length=1, max_length=256)
    grant_type: Literal["refresh_token"] = "refresh_token"


class ClientCredentialsBody(_Form):
    """OAuth2 client credentials (RFC 6749, 4.4.2). Id and secret stand here or in the Authorization header."""

    grant_type: Literal["client_credentials"]
    client_id: _Name | None = None
    client_secret: str | None = Field(None, max_length=MAX_LENGTH, json_schema_extra={"format": "password"})


class ServiceTokenBody(BaseModel):
    """An access token (RFC 6749, 5.1); lives are in seconds from now."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105
    expires_in: int


class TokenBody(ServiceTokenBody):
    """An access token and the refresh token with which to get the next."""

    refresh_token: str
    refresh_expires_in: int


class TicketBody(BaseModel):
    """A ticket for the stream's URL."""

    ticket: str = Field(description="Good once: `/v1/ws?ticket=…`.")
    expires_in: int = Field(description="Seconds.")


class GrantsBody(_Body):
    """Patterns of topics: `orders:*`, `chat:{sub}:*` (`{sub}` is the account's id), `user:*`, `all`."""

    subscribe: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()

    def to_grants(self) -> Grants:
        """The same as a value of the model."""
        return Grants(self.subscribe, self.publish)


class MeBody(BaseModel):
    """Who a token or an API key speaks for, and what they may do."""

    subject: str
    tenant: str | None = Field(description="Whose they are; null: without a tenant.")
    kind: Literal["user", "service"]
    admin: bool
    topics: list[str] = Field(description="What a connection is subscribed to without asking.")
    grants: GrantsBody
    expires: float | None = Field(description="When it ends, in Unix seconds; null: a key that was given no end.")
    credential: Literal["token", "key"] = Field(description="What was shown: an access token, or an API key.")
    id: str = Field(description="The token's `jti`, or the id of the key; empty if the token has none.")
    session: str = Field(description="The login that the token came from; ending it ends all its tokens.")

    @classmethod
    def of(cls, principal: Principal) -> MeBody:
        """What the principal's token says."""
        assert isinstance(principal, Verified)
        return cls(
            subject=principal.name,
            tenant=principal.tenant or None,
            kind=principal.kind,
            admin=principal.admin,
            topics=[tenancy.local(name) for name in automatic_topics(principal)],
            grants=GrantsBody(subscribe=principal.grants.subscribe, publish=principal.grants.publish),
            expires=principal.expires,
            credential="key" if principal.is_key else "token",
            id=principal.service_key if principal.is_key else tenancy.local(principal.token_id),
            session=tenancy.local(principal.session),
        )


class _AccountBody(BaseModel):
    id: str
    disabled: bool
    grants: GrantsBody
    topics: list[str] = Field(description="Subscribed without asking, besides the account's own.")
    created: float = Field(description="Unix seconds.")
    admin: bool


class UserBody(_AccountBody):
    """A user, as an administrator sees them."""

    @classmethod
    def of(cls, account: Account) -> UserBody:
        """The user in this row."""
        return cls(**_common(account))


class NewUserBody(UserBody):
    """A user who was just made."""

    password: str | None = Field(None, description="Made up by the hub since none was given; shown only this once.")


class ServiceBody(_AccountBody):
    """A service, as an administrator sees it."""

    name: str

    @classmethod
    def of(cls, account: Account) -> ServiceBody:
        """The service in this row."""
        return cls(**_common(account), name=account.name)


class NewServiceBody(ServiceBody):
    """A service that was just made, with its first key."""

    secret: str = Field(
        description=(
            "Its first key, shown only this once: the `client_secret` at `/v1/auth/token`, and itself a bearer token. "
            "It may do all that the service may; `/v1/services/{id}/keys` makes others."
        )
    )


class UserPage(BaseModel):
    """Some of the users, by id."""

    users: list[UserBody]
    more: bool = Field(description="There are more: ask again with `after` = the last id.")


class ServicePage(BaseModel):
    """Some of the services, by id."""

    services: list[ServiceBody]
    more: bool = Field(description="There are more: ask again with `after` = the last id.")


class UserToMake(_Body):
    """A user to be made. Their id is the username."""

    username: _Name
    password: _NewPassword | None = Field(None, description="Without it the hub makes one up and shows it once.")
    admin: bool = False
    grants: GrantsBody = GrantsBody()
    topics: tuple[str, ...] = ()


class ServiceToMake(_Body):
    """A service to be made. Its id is made from the name: `Billing service` is `billing-service`."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    admin: bool = False
    grants: GrantsBody | None = Field(None, description="Without them it may publish anywhere and read nothing.")
    topics: tuple[str, ...] = ()


class _AccountChanges(_Body):
    disabled: bool | None = None
    grants: GrantsBody | None = Field(None, description="Replace all of the present ones.")
    topics: tuple[str, ...] | None = None
    admin: bool | None = None

    def to_update(self) -> Update:
        """The same as a value for ``Accounts.update``."""
        grants = None if self.grants is None else self.grants.to_grants()
        return Update(disabled=self.disabled, admin=self.admin, grants=grants, topics=self.topics)


class ServiceChanges(_AccountChanges):
    """What to change of a service; what is left out stays."""


class UserChanges(_AccountChanges):
    """What to change of a user; what is left out stays."""

    password: _NewPassword | None = Field(None, description="Ends all of the user's sessions.")

    def to_update(self) -> Update:
        """The same as a value for ``Accounts.update``."""
        return replace(super().to_update(), password=self.password)


def _common(account: Account) -> dict[str, Any]:
    return {
        "id": tenancy.local(account.id),
        "disabled": account.disabled,
        # As granted, so that what is read here can be sent back.
        "grants": GrantsBody(subscribe=tuple(account.subscribe), publish=tuple(account.publish)),
        "topics": account.topics,
        "created": account.created_at,
        "admin": account.admin,
    }


def request_body(model: type[BaseModel], *media_types: str) -> dict[str, Any]:
    """The OpenAPI ``requestBody`` of a route that reads its body by itself, in one of several media types."""
    schema = model.model_json_schema()
    return {"requestBody": {"required": True, "content": {media: {"schema": schema} for media in media_types}}}
