"""``POST /v1/tokens/revoke``: administrators end one token or one session (docs/protocol.md, section 2)."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from hub import tenancy
from hub.identity.audit import Actor
from hub.identity.endings import Ended, Endings
from hub.model import Principal
from hub.transports.credentials import PrincipalDependency, address, administrator, realm
from hub.transports.problem import UNAUTHORIZED, responses


class RevokeBody(BaseModel):
    """What is to end; one of these."""

    model_config = ConfigDict(extra="forbid")

    token: str | None = Field(
        None, min_length=1, max_length=4096, description="The access token, or the API key, itself."
    )
    jti: str | None = Field(
        None, min_length=1, max_length=256, description="The id of one, if the token itself is not at hand."
    )
    session: str | None = Field(
        None, min_length=1, max_length=256, description="A session: all its access tokens, and its refresh token."
    )

    @model_validator(mode="after")
    def _one(self) -> RevokeBody:
        if sum(given is not None for given in (self.token, self.jti, self.session)) != 1:
            raise ValueError("give one of token, jti and session")
        return self


class RevokedBody(BaseModel):
    """What was ended."""

    kind: Literal["token", "session", "key"]
    id: str
    subject: str | None = Field(description="Whose it was; null if that is not known.")
    until: float | None = Field(
        description="Until when this is remembered, in Unix seconds: by then it has ended by itself. Null for a key."
    )

    @classmethod
    def of(cls, ended: Ended) -> RevokedBody:
        """The same as JSON."""
        subject = None if ended.subject is None else tenancy.local(ended.subject)
        return cls(kind=ended.kind, id=tenancy.local(ended.id), subject=subject, until=ended.until)


def router(endings: Endings, principal: PrincipalDependency) -> APIRouter:
    """The route; ``principal`` is a dependency that finds the caller."""
    routes = APIRouter(tags=["administration"])
    caller = Depends(administrator(principal))

    @routes.post(
        "/v1/tokens/revoke",
        summary="End a token or a session",
        description=(
            "It is refused at once (`token_revoked`) and its connections are closed within a second, also after a "
            "restart. A token whose session goes on can be replaced with its refresh token; end the session if that "
            "leaked as well."
        ),
        responses=responses(*UNAUTHORIZED, "forbidden", "request_invalid", "database_unavailable"),
    )
    async def revoke(
        body: RevokeBody, request: Request, who: Principal = caller, tenant: str = Depends(realm(principal))
    ) -> RevokedBody:
        theirs = endings.within(tenant).by(Actor.of(who, address(request)))
        if body.token is not None:
            return RevokedBody.of(await theirs.token(body.token))
        if body.jti is not None:
            return RevokedBody.of(await theirs.token_id(body.jti))
        assert body.session is not None
        return RevokedBody.of(await theirs.session(body.session))

    return routes
