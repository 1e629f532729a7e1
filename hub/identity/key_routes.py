"""The routes for the API keys of services (docs/protocol.md, section 2)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from hub import tenancy
from hub.identity.audit import Actor
from hub.identity.models import ServiceKey
from hub.identity.scope import Scope
from hub.identity.service_keys import MAX_NAME, ServiceKeys
from hub.model import Principal
from hub.transports.credentials import PrincipalDependency, address, administrator, realm
from hub.transports.problem import UNAUTHORIZED, responses

_Id = Annotated[str, Path(max_length=128)]
_Key = Annotated[str, Path(max_length=16)]
_Patterns = tuple[str, ...] | None


class ScopeBody(BaseModel):
    """What bounds a key: patterns of topics. What is left out is bounded by what the service may, and that alone."""

    model_config = ConfigDict(extra="forbid")

    subscribe: _Patterns = None
    publish: _Patterns = None
    admin: bool = Field(False, description="Administer, if the service may.")


class KeyToMake(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field("", max_length=MAX_NAME, description="For people: where it is used.")
    scope: ScopeBody = ScopeBody()
    expires: float | None = Field(None, gt=0, lt=1e11, description="When it ends, in Unix seconds; without it, never.")


class Rotation(BaseModel):
    """How a key is replaced."""

    model_config = ConfigDict(extra="forbid")

    overlap: float | None = Field(
        None,
        ge=0,
        lt=1e10,
        description="Seconds for which the old one goes on; without it, until it is revoked.",
    )


class KeyBody(BaseModel):
    """A key, without its secret."""

    id: str
    service: str
    name: str
    scope: ScopeBody
    created: float = Field(description="Unix seconds.")
    expires: float | None = Field(description="Unix seconds; null: never.")
    last_used: float | None = Field(description="Unix seconds, true to a minute; null: never.")

    @classmethod
    def of(cls, key: ServiceKey) -> KeyBody:
        """The key in this row."""
        return cls(
            id=key.id,
            service=tenancy.local(key.account_id),
            name=key.name,
            scope=ScopeBody(subscribe=_patterns(key.subscribe), publish=_patterns(key.publish), admin=key.admin),
            created=key.created_at,
            expires=key.expires_at,
            last_used=key.last_used_at,
        )


class NewKeyBody(KeyBody):
    """A key that was just made."""

    key: str = Field(
        description=(
            "The key itself, shown only this once: a bearer token wherever one is wanted, and the service's "
            "`client_secret` at `/v1/auth/token`."
        )
    )


class KeysBody(BaseModel):
    """The keys of a service, the oldest first."""

    keys: list[KeyBody]


def router(keys: ServiceKeys, principal: PrincipalDependency) -> APIRouter:
    """The routes; ``principal`` is a dependency that finds the caller."""
    caller = Depends(administrator(principal))

    async def find(request: Request, who: Principal = caller, tenant: str = Depends(realm(principal))) -> ServiceKeys:
        return keys.within(tenant).by(Actor.of(who, address(request)))

    theirs = Depends(find)
    routes = APIRouter(
        tags=["administration"],
        dependencies=[caller],
        responses=responses(*UNAUTHORIZED, "forbidden", "not_found", "request_invalid", "database_unavailable"),
    )

    @routes.post(
        "/v1/services/{service_id:path}/keys",
        status_code=201,
        summary="Make an API key",
        description="It may do what the service may, or less. It never does more, also if the service may less later.",
        responses=responses("topic_invalid"),
    )
    async def make_key(service_id: _Id, body: KeyToMake, response: Response, keys: ServiceKeys = theirs) -> NewKeyBody:
        scope = Scope(body.scope.subscribe, body.scope.publish, body.scope.admin)
        key, text = await keys.create(service_id, name=body.name, scope=scope, expires_at=body.expires)
        return _shown_once(response, key, text)

    @routes.get("/v1/services/{service_id:path}/keys", summary="List a service's API keys")
    async def list_keys(service_id: _Id, keys: ServiceKeys = theirs) -> KeysBody:
        return KeysBody(keys=[KeyBody.of(key) for key in await keys.of(service_id)])

    @routes.post(
        "/v1/services/{service_id:path}/keys/{key_id}/rotate",
        status_code=201,
        summary="Replace an API key",
        description=(
            "Makes a key like it: name, scope, length of life. The old one goes on, so that there is time to bring the "
            "new one to where it is used; then revoke it, or say beforehand how long that takes (`overlap`)."
        ),
    )
    async def rotate_key(
        service_id: _Id, key_id: _Key, response: Response, body: Rotation | None = None, keys: ServiceKeys = theirs
    ) -> NewKeyBody:
        overlap = None if body is None else body.overlap
        key, text, _ = await keys.rotate(key_id, service_id=service_id, overlap=overlap)
        return _shown_once(response, key, text)

    @routes.delete(
        "/v1/services/{service_id:path}/keys/{key_id}",
        status_code=204,
        summary="Revoke an API key",
        description="It, and the tokens that were got with it, are refused at once, and their connections closed.",
    )
    async def revoke_key(service_id: _Id, key_id: _Key, keys: ServiceKeys = theirs) -> None:
        await keys.revoke(key_id, service_id=service_id)

    return routes


def _shown_once(response: Response, key: ServiceKey, text: str) -> NewKeyBody:
    response.headers["Cache-Control"] = "no-store"
    return NewKeyBody(**KeyBody.of(key).model_dump(), key=text)


def _patterns(stored: list[str] | None) -> _Patterns:
    return None if stored is None else tuple(stored)
