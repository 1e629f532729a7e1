"""Logging in and out, tokens, and who am I (docs/protocol.md, section 2), and with them the administration.

The composition root gives the dependency that finds the caller of a request.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from hub.errors import HubError
from hub.identity import administration, audit_routes, key_routes, token_routes
from hub.identity.forms import FORM, JSON, basic, read
from hub.identity.schemas import (
    ClientCredentialsBody,
    LoginBody,
    MeBody,
    RefreshBody,
    ServiceTokenBody,
    TicketBody,
    TokenBody,
    request_body,
)
from hub.identity.service import Identity, UserTokens
from hub.model import Principal
from hub.transports.credentials import PrincipalDependency, address, from_headers, only_token
from hub.transports.problem import UNAUTHORIZED, responses

_BODY_PROBLEMS = ("request_invalid", "request_too_large", "too_many_attempts", "overloaded", "database_unavailable")


def router(identity: Identity, principal: PrincipalDependency) -> APIRouter:
    """All routes of identity. ``principal`` is a dependency that finds the caller of a request, or says why not."""
    routes = APIRouter(tags=["identity"])
    caller = Depends(principal)

    @routes.post(
        "/v1/auth/login",
        summary="Log in with a name and a password",
        description="As JSON, or as an OAuth2 password form. Begins a session. Users of a tenant say which (`tenant`).",
        responses=responses("credentials_invalid", "user_disabled", *_BODY_PROBLEMS),
        openapi_extra=request_body(LoginBody, JSON, FORM),
    )
    async def login(request: Request, response: Response) -> TokenBody:
        body = await read(request, LoginBody, JSON, FORM)
        tokens = await identity.login(body.username, body.password, address(request), tenant=body.tenant)
        return _user_tokens(response, tokens)

    @routes.post(
        "/v1/auth/refresh",
        summary="Get the next access token of a session",
        description=(
            "With today's rights. The refresh token is spent and a new one comes with the answer; using a spent one "
            "ends the session, except that the last one still works for a few seconds, in case its answer was lost."
        ),
        responses=responses("refresh_invalid", "refresh_reused", "user_disabled", *_BODY_PROBLEMS),
        openapi_extra=request_body(RefreshBody, JSON, FORM),
    )
    async def refresh(request: Request, response: Response) -> TokenBody:
        body = await read(request, RefreshBody, JSON, FORM)
        return _user_tokens(response, await identity.refresh(body.refresh_token, address(request)))

    @routes.post(
        "/v1/auth/logout",
        status_code=204,
        summary="End the session",
        description="Its tokens stop working and its connections are closed.",
        responses=responses(*UNAUTHORIZED, "forbidden"),
    )
    async def logout(request: Request, who: Principal = caller) -> None:
        await identity.logout(who, address(request))

    @routes.post(
        "/v1/auth/token",
        summary="Get a service's access token",
        description=(
            "OAuth2 client credentials (RFC 6749, 4.4). Id and secret in an `Authorization: Basic` header, each "
            "percent-encoded, or in the form."
        ),
        responses=responses("credentials_invalid", "credentials_ambiguous", "user_disabled", *_BODY_PROBLEMS),
        openapi_extra=request_body(ClientCredentialsBody, FORM),
    )
    async def token(request: Request, response: Response) -> ServiceTokenBody:
        body = await read(request, ClientCredentialsBody, FORM)
        service_id, secret = _client(body, request.headers.getlist("authorization"))
        tokens = await identity.client_credentials(service_id, secret, address(request))
        _no_store(response)
        return ServiceTokenBody(access_token=tokens.access_token, expires_in=tokens.expires_in)

    @routes.post(
        "/v1/auth/ticket",
        summary="Get a ticket for the stream's URL",
        description=(
            "Good once, for 30 seconds, and no longer than the token it is asked for with: open the stream with "
            "`/v1/ws?ticket=…`, and no long-lived token stands in a URL."
        ),
        responses=responses(*UNAUTHORIZED, "too_many_attempts", "overloaded", "database_unavailable"),
        dependencies=[caller],
    )
    async def ticket(request: Request, response: Response) -> TicketBody:
        token = only_token(from_headers(request.headers.getlist("authorization")))
        issued = await identity.tickets.issue_for_all(token)
        _no_store(response)
        return TicketBody(ticket=issued.value, expires_in=int(issued.expires_in))

    @routes.get("/v1/me", summary="Who the token says I am, and what I may do", responses=responses(*UNAUTHORIZED))
    async def me(who: Principal = caller) -> MeBody:
        return MeBody.of(who)

    @routes.get(
        "/.well-known/jwks.json",
        summary="The public keys that verify the hub's tokens",
        description="A JWK Set (RFC 7517, section 5); empty if the hub signs with a shared secret.",
    )
    async def jwks(response: Response) -> dict[str, list[dict[str, Any]]]:
        response.headers["Cache-Control"] = "public, max-age=300"
        return identity.jwks()

    # Before the others: a path of theirs would take "<id>/keys" for an id.
    routes.include_router(key_routes.router(identity.service_keys, principal))
    routes.include_router(administration.router(identity.accounts, principal))
    routes.include_router(token_routes.router(identity.endings, principal))
    routes.include_router(audit_routes.router(identity.audit, identity.notes, principal))
    return routes


def _client(body: ClientCredentialsBody, authorization: list[str]) -> tuple[str, str]:
    """The id and secret of a client, which must use one way to give them (RFC 6749, 2.3)."""
    in_form = body.client_secret is not None
    if len(authorization) + in_form > 1:
        raise HubError(
            "credentials_ambiguous", "Give id and secret in the Authorization header or in the form, not both."
        )
    if authorization:
        return basic(authorization[0])
    if body.client_id is None or body.client_secret is None:
        raise HubError("credentials_invalid", "Give client_id and client_secret, or an Authorization: Basic header.")
    return body.client_id, body.client_secret


def _user_tokens(response: Response, tokens: UserTokens) -> TokenBody:
    _no_store(response)
    return TokenBody(
        access_token=tokens.access_token,
        expires_in=tokens.expires_in,
        refresh_token=tokens.refresh_token,
        refresh_expires_in=tokens.refresh_expires_in,
    )


def _no_store(response: Response) -> None:
    # RFC 6749, 5.1: no cache may keep a token.
    response.headers["Cache-Control"] = "no-store"
