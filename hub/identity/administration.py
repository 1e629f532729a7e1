"""The routes of administrators: users and services, made, listed and changed (docs/protocol.md, section 2).

Those of one tenant: the caller's own, or the one that an operator names (``?tenant=``).
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from hub.identity.accounts import SERVICE_GRANTS, Accounts
from hub.identity.audit import Actor
from hub.identity.passwords import random_password
from hub.identity.schemas import (
    NewServiceBody,
    NewUserBody,
    ServiceBody,
    ServiceChanges,
    ServicePage,
    ServiceToMake,
    UserBody,
    UserChanges,
    UserPage,
    UserToMake,
)
from hub.model import Principal
from hub.transports.credentials import PrincipalDependency, address, administrator, realm
from hub.transports.problem import UNAUTHORIZED, responses

# In a path of the kind ":path", since an id may hold a slash.
_Id = Annotated[str, Path(max_length=128)]
_After = Annotated[str, Query(max_length=128, description="List what follows this id.")]
_Limit = Annotated[int, Query(ge=1, le=1000)]


def router(accounts: Accounts, principal: PrincipalDependency) -> APIRouter:
    """The routes; ``principal`` is a dependency that finds the caller."""
    caller = Depends(administrator(principal))

    async def theirs(request: Request, who: Principal = caller, tenant: str = Depends(realm(principal))) -> Accounts:
        return accounts.within(tenant).by(Actor.of(who, address(request)))

    routes = APIRouter(
        tags=["administration"],
        dependencies=[caller],
        responses=responses(*UNAUTHORIZED, "forbidden", "request_invalid", "topic_invalid"),
    )
    _add_users(routes, Depends(theirs))
    _add_services(routes, Depends(theirs))
    return routes


def _add_users(routes: APIRouter, theirs: Any) -> None:
    @routes.post("/v1/users", status_code=201, summary="Make a user", responses=responses("name_taken", "overloaded"))
    async def make_user(body: UserToMake, response: Response, accounts: Accounts = theirs) -> NewUserBody:
        password = body.password or random_password()
        account = await accounts.create_user(
            body.username, password, admin=body.admin, grants=body.grants.to_grants(), topics=body.topics
        )
        response.headers["Cache-Control"] = "no-store"
        user = UserBody.of(account).model_dump()
        return NewUserBody(**user, password=None if body.password else password)

    @routes.get("/v1/users", summary="List users, by id")
    async def list_users(after: _After = "", limit: _Limit = 100, accounts: Accounts = theirs) -> UserPage:
        found, more = await accounts.page("user", after=after, limit=limit)
        return UserPage(users=[UserBody.of(account) for account in found], more=more)

    @routes.get("/v1/users/{user_id:path}", summary="One user", responses=responses("not_found"))
    async def get_user(user_id: _Id, accounts: Accounts = theirs) -> UserBody:
        return UserBody.of(await accounts.get("user", user_id))

    @routes.patch(
        "/v1/users/{user_id:path}",
        summary="Change a user",
        description=(
            "Other rights take effect at once: tokens made before are refused, connections are closed, and a refresh "
            "goes on with the new ones. A new password ends all sessions. A disabled user is kept out altogether."
        ),
        responses=responses("not_found", "overloaded"),
    )
    async def change_user(user_id: _Id, body: UserChanges, accounts: Accounts = theirs) -> UserBody:
        return UserBody.of(await accounts.update("user", user_id, body.to_update()))

    @routes.post(
        "/v1/users/{user_id:path}/logout",
        status_code=204,
        summary="Log a user out everywhere",
        description=(
            "Tokens made before are refused, connections are closed. Also for users of other issuers, who have no "
            "account: they come back with a fresh token, so disable them there first."
        ),
        responses=responses("not_found"),
    )
    async def logout_user(user_id: _Id, accounts: Accounts = theirs) -> None:
        await accounts.end_sessions(user_id)


def _add_services(routes: APIRouter, theirs: Any) -> None:
    @routes.post("/v1/services", status_code=201, summary="Make a service", responses=responses("name_taken"))
    async def make_service(body: ServiceToMake, response: Response, accounts: Accounts = theirs) -> NewServiceBody:
        grants = SERVICE_GRANTS if body.grants is None else body.grants.to_grants()
        account, secret = await accounts.create_service(body.name, admin=body.admin, grants=grants, topics=body.topics)
        response.headers["Cache-Control"] = "no-store"
        return NewServiceBody(**ServiceBody.of(account).model_dump(), secret=secret)

    @routes.get("/v1/services", summary="List services, by id")
    async def list_services(after: _After = "", limit: _Limit = 100, accounts: Accounts = theirs) -> ServicePage:
        found, more = await accounts.page("service", after=after, limit=limit)
        return ServicePage(services=[ServiceBody.of(account) for account in found], more=more)

    @routes.get("/v1/services/{service_id:path}", summary="One service", responses=responses("not_found"))
    async def get_service(service_id: _Id, accounts: Accounts = theirs) -> ServiceBody:
        return ServiceBody.of(await accounts.get("service", service_id))

    @routes.patch(
        "/v1/services/{service_id:path}",
        summary="Change a service",
        description="Takes effect at once: tokens made before are refused, and a new one has the new rights.",
        responses=responses("not_found"),
    )
    async def change_service(service_id: _Id, body: ServiceChanges, accounts: Accounts = theirs) -> ServiceBody:
        return ServiceBody.of(await accounts.update("service", service_id, body.to_update()))
